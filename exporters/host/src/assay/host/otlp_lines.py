"""An exporter that appends OTLP JSON to a file, one request a line (OTLP file format)."""

import os
from pathlib import Path

from pydantic import BaseModel, Field

from assay.host import Batch, Retry, Signal, otlp_json


class OtlpLines:
    """Append each batch to one file, which a Collector's `otlp_json_file` receiver can read."""

    signals: frozenset[Signal] = frozenset({"traces", "metrics", "logs"})

    class Settings(BaseModel, extra="forbid"):
        """The exporter's section of the configuration."""

        path: Path = Field(description="The file to append to.")

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        with self._path.open("a+b") as file:  # remove an incomplete last line, which a kill may have left
            file.seek(0)
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))

    def export(self, batch: Batch) -> None:
        """Append one line completely, or nothing."""
        assert batch.request is not None  # noqa: S101  only exporters with `undecodable = True` get None
        end = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(otlp_json.encode(batch.request) + b"\n")
        except OSError as error:
            os.truncate(self._path, end)
            raise Retry(f"cannot write to {self._path}: {error.strerror}") from error

    def shutdown(self) -> None:
        """Do nothing: the file is closed after each batch."""
