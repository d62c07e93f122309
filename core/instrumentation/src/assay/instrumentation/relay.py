"""Measurements of a child process, recorded in the process that started it.

A child that recorded instruments of its own would be a second writer of its parent's series, or a series for
each child that ever ran (decision 2). So it sends the events that instruments record to its parent, over
whatever connects the two, and the parent records them. Spans, log events and audit records leave from the
child.

In the child:

```python
sender = RelaySender()
sender.start()
...
for batch in sender.drain():
    queue.put(batch)  # a batch can be pickled
```

In the parent: `RelayReceiver().record(batch)`.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider, get_meter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from assay.instrumentation.guard import guarded
from assay.instrumentation.subsystems import Subsystem
from assay.semconv import metrics
from assay.telemetry import bridge

LIMIT = 10_000
"""Events that wait in a child for their way to the parent."""

_NOT_SENT = frozenset({"links", "stacktrace", "telemetry_span_context"})
_NOT_SENT_OF_EXCEPTIONS = _NOT_SENT | {"reason"}
"""The reason is the exception; elsewhere it is a label."""
_PLAIN = frozenset({str, int, float, bool})


@dataclass(frozen=True, slots=True)
class RelayedEvent:
    """One event of a child process that instruments record.

    Args:
        event: Its name.
        measurements: Its numbers.
        metadata: The values that can be labels.
        span: Trace id, span id and flags of the span that was current: exemplars lead to it.
    """

    event: str
    measurements: dict[str, int | float]
    metadata: dict[str, str | int | float | bool]
    span: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class RelayBatch:
    """The events of a child process since its last batch, in their order.

    Args:
        events: The events that were kept.
        dropped: How many were dropped.
    """

    events: tuple[RelayedEvent, ...]
    dropped: int = 0


class RelaySender:
    """Keeps the events of this child process until they are sent to its parent.

    Args:
        limit: How many it keeps; further ones are dropped, and counted.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._events: deque[RelayedEvent] = deque()
        self._dropped = 0
        # Reentrant: a signal handler may emit an event in the middle of another.
        self._lock = threading.RLock()

    def start(self) -> None:
        """Keep the events that the attached bridges would record; this process stops recording them."""
        bridge.relay_recordings(self.keep)

    def keep(
        self,
        event: str,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Context | None = None,
    ) -> None:
        """Keep one event, if there is room."""
        relayed = _relayed(event, measurements, metadata, context)
        with self._lock:
            if relayed is not None and len(self._events) < self._limit:
                self._events.append(relayed)
            else:
                self._dropped += 1

    def drain(self) -> Iterator[RelayBatch]:
        """Yield a batch of the events kept since the last call, if there are any."""
        with self._lock:
            batch = RelayBatch(tuple(self._events), self._dropped)
            self._events.clear()
            self._dropped = 0
        if batch.events or batch.dropped:
            yield batch


class RelayReceiver:
    """Records the batches of child processes.

    Args:
        meter_provider: Takes the count of dropped events; None is the global one.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        scope = Subsystem("assay", package="assay.instrumentation").scope()
        meter = get_meter(scope.name, scope.version, meter_provider, scope.schema_url)
        self._dropped = meter.create_counter(
            metrics.ASSAY_RELAY_DROPPED, "{event}", "Events of child processes that were not recorded."
        )

    def record(self, batch: RelayBatch) -> None:
        """Record a batch in the instruments of the attached bridges."""
        self._dropped.add(batch.dropped)  # also 0, so that increase() sees the first that is dropped
        for relayed in batch.events:
            _record(relayed)


@guarded
def _relayed(
    event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], context: Context | None
) -> RelayedEvent:
    span = trace.get_current_span(context).get_span_context()
    return RelayedEvent(
        event, _numbers(measurements), _labels(metadata), (span.trace_id, span.span_id, int(span.trace_flags))
    )


@guarded
def _record(relayed: RelayedEvent) -> None:
    trace_id, span_id, flags = relayed.span
    span = SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
    context = set_span_in_context(NonRecordingSpan(span), Context())
    bridge.record(relayed.event, relayed.measurements, relayed.metadata, context)


def _numbers(measurements: Mapping[str, Any]) -> dict[str, int | float]:
    """Return the measurements as plain numbers: subclasses may not survive pickling."""
    return {
        key: int(value) if isinstance(value, int) else float(value)
        for key, value in measurements.items()
        if isinstance(value, (int, float))
    }


def _labels(metadata: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the metadata that labels are made of, as plain values."""
    not_sent = _NOT_SENT_OF_EXCEPTIONS if "kind" in metadata else _NOT_SENT
    labels: dict[str, str | int | float | bool] = {
        key: value if type(value) in _PLAIN else str(value)
        for key, value in metadata.items()
        if value is not None and key not in not_sent
    }
    if "kind" in labels:
        labels.setdefault("error_type", labels["kind"])
    return labels
