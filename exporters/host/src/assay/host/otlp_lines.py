"""An exporter that writes OTLP JSON to a file, one request on each line (the OTLP file format)."""

import os
from pathlib import Path

from pydantic import BaseModel

from assay.host import Batch, Retry, Signal, otlp_json


class OtlpLines:
    """Appends every batch to one file; a Collector's `otlp_json_file` receiver reads it."""

    signals: frozenset[Signal] = frozenset({"traces", "metrics", "logs"})

    class Settings(BaseModel, extra="forbid"):
        """The exporter's section of the configuration."""

        path: Path

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        with self._path.open("a+b") as file:  # what a kill left of a last line belongs to no batch
            file.seek(0)
            file.truncate(sum(len(line) for line in file if line.endswith(b"\n")))

    def export(self, batch: Batch) -> None:
        """Write one line, whole or not at all."""
        assert batch.request is not None  # noqa: S101  only exporters with `undecodable = True` get None
        end = self._path.stat().st_size
        try:
            with self._path.open("ab") as file:
                file.write(otlp_json.encode(batch.request) + b"\n")
        except OSError as error:
            os.truncate(self._path, end)
            raise Retry(f"cannot write to {self._path}: {error.strerror}") from error

    def shutdown(self) -> None:
        """Nothing is open between batches."""
