"""How big a value is, in bytes, without a second copy of it and without consuming it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign

PANDAS = "pandas"


def size_of_value(value: Foreign) -> int | None:
    """Return the size of bytes, text, arrays and data frames; None of what would have to be walked."""
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
    # numpy, pyarrow, xarray, torch, memoryview: told by the type, so that no user's __getattr__ runs
    if hasattr(kind, "nbytes"):
        return _whole(value.nbytes)
    return None


def size_of_files(manager: Foreign, context: Foreign) -> int | None:
    """Return the size of what a `UPathIOManager` keeps on this machine's disk; None for any other.

    A path in a bucket is not asked for its size: that would be a request more than Dagster makes.
    """
    from dagster import UPathIOManager  # noqa: PLC0415 - Dagster is only there where it is instrumented

    if not isinstance(manager, UPathIOManager):
        return None
    known: Foreign = manager
    if context.has_asset_key and context.has_asset_partitions:
        paths = known._get_paths_for_partitions(context).values()  # noqa: SLF001 - as the manager itself
    else:
        paths = [known._get_path(context)]  # noqa: SLF001 - as the manager itself
    return _size_on_disk(paths)


def _size_on_disk(paths: Iterable[Any]) -> int | None:
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
