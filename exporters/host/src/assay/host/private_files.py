"""Keep state files from other users: mode 0600, in folders of mode 0700.

A file that exists with a wider mode, from an earlier version or made by hand, gets the mode, and the log
says so. A file of another user is an error: that user can change it at any time.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

FILE = 0o600
FOLDER = 0o700
_GROUP_AND_OTHERS = 0o077
_SQLITE_FILES = ("-wal", "-shm", "-journal")


def private_folder(path: Path) -> None:
    """Create a folder of mode 0700, with its parents, or give an existing one that mode.

    A folder of another user stays as it is, with a warning: the mount point of a volume often belongs to
    root.

    Raises:
        OSError: The folder cannot be created or changed.
    """
    path.mkdir(mode=FOLDER, parents=True, exist_ok=True)
    if path.stat().st_uid == os.geteuid():
        _tighten(path, FOLDER)
    elif path.stat().st_mode & stat.S_IWOTH:
        logger.warning("%s: another user owns the folder, and all users may write to it", path)


def private_database(path: Path) -> None:
    """Create the file of an SQLite database with mode 0600, or give that mode to an existing one.

    Call it before SQLite opens the file. SQLite would create it readable by all; its other files get the
    mode of this one, and those that exist are changed too.

    Raises:
        PermissionError: Another user owns a file.
        OSError: A file cannot be created or changed.
    """
    if not path.exists():
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, FILE))
    for file in (path, *(path.with_name(f"{path.name}{suffix}") for suffix in _SQLITE_FILES)):
        if file.exists():
            _require_own(file)
            _tighten(file, FILE)


def _require_own(path: Path) -> None:
    if path.stat().st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "another user owns it: run as its owner, or chown it", str(path))


def _tighten(path: Path, mode: int) -> None:
    before = stat.S_IMODE(path.stat().st_mode)
    if before & _GROUP_AND_OTHERS:
        path.chmod(mode)
        logger.warning("%s: other users could read it (mode %04o): it has mode %04o now", path, before, mode)
