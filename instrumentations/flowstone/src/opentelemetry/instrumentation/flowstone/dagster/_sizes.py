"""Sizes of values in bytes, found without copying or consuming the value."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import cast

from assay.instrumentation import Foreign

PANDAS = "pandas"


def size_of_value(value: Foreign) -> int | None:
    """Return the size of bytes, text, arrays and data frames; None for any other value."""
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, str):
        return len(value) if value.isascii() else sys.getsizeof(value)
    kind = cast("Foreign", type(value))
    module = kind.__module__.partition(".")[0]
    if module == PANDAS:
        return _size_of_pandas(value)
    estimated = getattr(kind, "estimated_size", None)  # polars
    if callable(estimated):
        return _whole(estimated(value))
    # numpy, pyarrow, xarray, torch, memoryview: asked of the type, so that no user's __getattr__ runs
    if hasattr(kind, "nbytes"):
        return _whole(value.nbytes)
    return None


def paths_of(manager: Foreign, context: Foreign) -> list[Foreign]:
    """Return the paths of a load or store of a `UPathIOManager`; none for any other manager."""
    from dagster import UPathIOManager  # noqa: PLC0415 - Dagster is only there where it is instrumented

    if not isinstance(manager, UPathIOManager):
        return []
    known: Foreign = manager
    if context.has_asset_key and context.has_asset_partitions:
        return list(known._get_paths_for_partitions(context).values())  # noqa: SLF001 - as the manager itself
    return [known._get_path(context)]  # noqa: SLF001 - as the manager itself


def size_on_disk(paths: Iterable[Foreign]) -> int | None:
    """Return the size of files on this machine's disk; None if one is elsewhere or missing.

    The size of an object in a bucket is left out: it would cost a request that Dagster does not make.
    """
    total = 0
    for path in paths:
        if not isinstance(path, Path) and getattr(path, "protocol", None) not in {"", "file", "local"}:
            return None
        try:
            total += os.stat(str(path)).st_size  # noqa: PTH116 - a UPath's own stat goes through fsspec
        except OSError:
            return None
    return total


def _size_of_pandas(value: Foreign) -> int | None:
    used = value.memory_usage(deep=False)
    return _whole(used.sum() if hasattr(used, "sum") else used)


def _whole(size: Foreign) -> int | None:
    try:
        number = int(size)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number >= 0 else None
