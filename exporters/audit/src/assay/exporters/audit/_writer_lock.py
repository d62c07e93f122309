"""The lock of a log's one writer: a sink, or a migration."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from assay.exporters.audit._errors import InUseError, OpenError


@contextmanager
def writer_lock(database: Path) -> Generator[None]:
    """Hold the exclusive lock of a log; the kernel releases it when the process exits.

    Raises:
        InUseError: Another process holds it.
        OpenError: Its file cannot be opened.
    """
    path = database.with_name(f"{database.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise OpenError(f"{path}: cannot be opened: {error.strerror}") from error
    try:
        _take(descriptor, database)
        yield
    finally:
        os.close(descriptor)


def _take(descriptor: int, database: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        raise InUseError(
            f"{database}: another sink (process {holder}) has the log open, and a log has one writer: stop it"
            " first"
        ) from error
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
