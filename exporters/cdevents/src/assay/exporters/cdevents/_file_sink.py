"""The file sink: structured CloudEvents, one a line."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Literal

from pydantic import Field

from assay.exporters.cdevents._outbox import OutboxEntry
from assay.exporters.cdevents._sinks import SinkSettings
from assay.exporters.cdevents.errors import SinkUnavailable

_CHUNK = 65536


class FileSettings(SinkSettings, extra="forbid", frozen=True):
    """A file of JSON lines."""

    type: Literal["file"]
    path: Path = Field(description="The file to append to.")

    @property
    def title(self) -> str:
        """The sink's name."""
        return self.name or f"file:{self.path}"


class FileSink:
    """Appends events to a file and syncs it to disk.

    An incomplete last line, which a crash may have left, is removed before the first append.

    Args:
        settings: The sink's settings.
    """

    batch = 256

    def __init__(self, settings: FileSettings) -> None:
        self._path = settings.path
        self._file: FileIO | None = None

    def send(self, entries: Sequence[OutboxEntry]) -> None:
        """Append all entries, or none.

        Raises:
            SinkUnavailable: The file cannot be written.
        """
        try:
            self._append("".join(f"{entry.document}\n" for entry in entries).encode())
        except OSError as error:
            self.close()
            raise SinkUnavailable(f"cannot write to {self._path}: {error.strerror or error}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, lines: bytes) -> None:
        file = self._current()
        end = file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            # If this fails too, the next append removes the incomplete line.
            with contextlib.suppress(OSError):
                file.truncate(end)
            raise

    def _current(self) -> FileIO:
        """Return the open file; open it again if it was rotated or removed."""
        if self._file is not None:
            try:
                if os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                    return self._file
            except FileNotFoundError:
                pass
            self.close()
        self._file = FileIO(self._path, "a+")
        _complete_last_line(self._file)
        return self._file


def _complete_last_line(file: FileIO) -> None:
    """Remove an incomplete last line, whose event is sent again; end one that only lacks its line end."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    while len(tail) < size and b"\n" not in tail:
        start = max(0, size - len(tail) - _CHUNK)
        file.seek(start)
        tail = file.read(size - len(tail) - start) + tail
    last = tail.rpartition(b"\n")[2]
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:
        file.truncate(size - len(last))
    else:
        file.write(b"\n")
