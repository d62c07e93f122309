"""Find the events of applications that the registry of `assay up` does not define.

An application with a registry of its own (`ASSAY_REGISTRY`) sends the log events and spans of that registry.
If `assay up` does not have the same registry, the CDEvents exporter has no rules for them and sends nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from assay.cli._otlp_lines import log_records, read_lines, span_event, spans

_SCOPE = "assay."  # prefix of the scopes under which the distro emits the events of users' registries


class UnregisteredEvents:
    """The unregistered events in two files of OTLP JSON lines, from the present end of each file on.

    Args:
        traces: File of spans.
        logs: File of log events.
        registered: Names of the registry's events and spans.
    """

    def __init__(self, traces: Path, logs: Path, registered: Collection[str]) -> None:
        self._traces, self._logs = traces, logs
        self._offsets = {path: path.stat().st_size if path.exists() else 0 for path in (traces, logs)}
        self._known = set(registered)

    def read(self) -> list[str]:
        """Return the names that were written since the last call; each name is returned once."""
        names = {
            span_event(span)
            for line in self._new_lines(self._traces)
            for scope, span in spans(line)
            if scope.startswith(_SCOPE)
        }
        names |= {
            record.get("eventName", "")
            for line in self._new_lines(self._logs)
            for scope, record in log_records(line)
            if scope.startswith(_SCOPE)
        }
        found = sorted(names - self._known - {""})
        self._known.update(found)
        return found

    def _new_lines(self, path: Path) -> Iterator[bytes]:
        for line in read_lines(path, self._offsets[path]):
            self._offsets[path] += len(line)
            yield line
