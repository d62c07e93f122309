"""Files with secrets, which only their owner may read (mode 0600)."""

from __future__ import annotations

import os
from pathlib import Path

_GROUP_AND_OTHERS = 0o077


def write_private(path: Path, text: str) -> None:
    """Replace a file with one that only its owner may read. A reader sees the old or the new content.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    temporary.replace(path)


def is_private(path: Path) -> bool:
    """Return whether this user owns a file, and nobody else may read or write it.

    Raises:
        OSError: The file is missing.
    """
    stat = path.stat()
    return stat.st_uid == os.geteuid() and not stat.st_mode & _GROUP_AND_OTHERS
