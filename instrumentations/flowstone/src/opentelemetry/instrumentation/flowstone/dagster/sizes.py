"""How big a value is, in bytes, without a second copy of it and without consuming it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PANDAS = "pandas"


def size_of_value(value: Any) -> int | None:  # noqa: ANN401 - anything that an asset returns
    """Return the size of bytes, text, arrays and data frames; None of anything else, which would need a walk."""
    if isinstance(value, (bytes, bytearray)):
        return len(value)
    if isinstance(value, str):
        return len(value) if value.isascii() else sys.getsizeof(value)
    module = type(value).__module__.partition(".")[0]
    if module == PANDAS:
        return _size_of_pandas(value)
    estimated = getattr(type(value), "estimated_size", None)  # polars
    if callable(estimated):
        return _whole(estimated(value))
    # numpy, pyarrow, xarray, torch, memoryview: told by the type, so that no user's __getattr__ runs
    if hasattr(type(value), "nbytes"):
        return _whole(value.nbytes)
    return None


def size_of_files(manager: Any, context: Any) -> int | None:  # noqa: ANN401 - Dagster's
    """Return the size of what a `UPathIOManager` keeps on this machine's disk; None for any other.

    A path in a bucket is not asked for its size: that would be a request more than Dagster makes.
    """
    from dagster import UPathIOManager  # noqa: PLC0415 - Dagster is only there where it is instrumented

    if not isinstance(manager, UPathIOManager):
        return None
    if context.has_asset_key and context.has_asset_partitions:
        paths = manager._get_paths_for_partitions(context).values()  # noqa: SLF001 # pyright: ignore
    else:
        paths = [manager._get_path(context)]  # noqa: SLF001 # pyright: ignore
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


def _size_of_pandas(value: Any) -> int | None:  # noqa: ANN401 - a frame, a series or an index
    used = value.memory_usage(deep=False)
    return _whole(used.sum() if hasattr(used, "sum") else used)


def _whole(size: Any) -> int | None:  # noqa: ANN401 - what a library calls a size
    try:
        number = int(size)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if number >= 0 else None
