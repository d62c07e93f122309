"""Routes, parallel branches, scatter and item readers, as built: spans with phases of other names."""

from __future__ import annotations

from itertools import count
from time import monotonic_ns, time_ns
from types import TracebackType
from typing import Any

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import execute
from assay.telemetry.spans import qualified_name

_contexts = count(1)


class Flow:
    """A span whose phases are named otherwise than `start`, `stop` and `exception`; a context manager.

    Args:
        event: Prefix of its events.
        phases: Names of its beginning, its good end and its bad end.
        metadata: Given with each of them.

    Attributes:
        measurements: Added to the last event's.
        metadata: Added to the last event's.
    """

    def __init__(self, event: str, phases: tuple[str, str, str], metadata: dict[str, Any]) -> None:
        self._event = event
        self._phases = phases
        self._given = {**metadata, "telemetry_span_context": f"flow-{next(_contexts)}"}
        self._begun = 0
        self.measurements: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {}

    def __enter__(self) -> Flow:  # noqa: PYI034 - typing.Self is not in 3.10
        """Tell of the beginning."""
        self._begun = monotonic_ns()
        times = {"system_time": time_ns(), "monotonic_time": self._begun}
        execute(f"{self._event}.{self._phases[0]}", times, self._given)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell of the end; an exception goes on to the caller."""
        now = monotonic_ns()
        measurements = {"duration": now - self._begun, "monotonic_time": now, **self.measurements}
        metadata = {**self._given, **self.metadata}
        phase = self._phases[1]
        if exception is not None:
            phase = self._phases[2]
            metadata = {**metadata, "kind": qualified_name(type(exception)), "reason": exception}
        execute(f"{self._event}.{phase}", measurements, metadata)

    def tell(self, phase: str, **metadata: object) -> None:
        """Tell of something on the way, such as `branch_start` or `batch_complete`.

        The event is not part of the span's own phases, so that it neither opens nor closes anything.
        """
        given = {key: value for key, value in self._given.items() if key != "telemetry_span_context"}
        execute(f"{self._event}.{phase}", None, {**given, **metadata})


def route(asset: str, *, run_id: str | None = None) -> Flow:
    """Return the span of a choice between branches: `.start`, `.stop`, `.error`."""
    return Flow("flowstone.route", ("start", "stop", "error"), described(asset=asset, run_id=run_id))


def parallel(asset: str, *, run_id: str | None = None) -> Flow:
    """Return the span of branches that run side by side: `.start`, `.stop`, `.error`.

    On the way: `branch_start`, `branch_complete`, `branch_fail`.
    """
    return Flow("flowstone.parallel", ("start", "stop", "error"), described(asset=asset, run_id=run_id))


def scatter(asset: str, *, run_id: str | None = None) -> Flow:
    """Return the span of one asset made in many instances: `.start`, `.complete`, `.failed`.

    On the way: `cancel`, `instance_complete`, `instance_fail`, `gather_ready`, `batch_create`, `batch_start`,
    `batch_complete`, `batch_fail`.
    """
    return Flow("flowstone.scatter", ("start", "complete", "failed"), described(asset=asset, run_id=run_id))


def item_reader(asset: str, *, run_id: str | None = None) -> Flow:
    """Return the span of reading items for a scatter: `.init`, `.complete`, `.error`; on the way: `read`."""
    return Flow("flowstone.item_reader", ("init", "complete", "error"), described(asset=asset, run_id=run_id))
