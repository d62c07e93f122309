"""The bridge from the bus to OpenTelemetry: spans, instruments, log events, and records for an audit trail.

```python
from assay.semconv import CATALOGUE
from assay.telemetry.bridge import Bridge

Bridge(CATALOGUE).attach()
```

Several bridges may be attached side by side, each with its own providers, if no two of them handle the same
event: `Bridge(CATALOGUE.of("flowstone"), tracer_provider=…)`.

A sampled event carries its weight (metadata `telemetry_weight`, 1/rate). Counters add the weight; a histogram
records the value that many times, a fraction by chance, so that count, sum and quantiles are unbiased; gauges
and log events ignore it. While OpenTelemetry's `suppress_instrumentation` is in force, only audit records are
emitted: nothing suppresses those.

To start a span under a remote parent, attach its context (`opentelemetry.propagate.extract`) around the event
that starts the span. To link a span to others, give that event the metadata `links`, a list of
`opentelemetry.trace.Link`.

The SDK takes locks. An event that a signal handler or a `__del__` emits while its thread is inside a bridge's
handler is therefore deferred until that handler ends. An event that interrupts the application's own call
into the SDK is not deferred: it can deadlock if that call holds a lock that the event's signals need, such as
that of the batch processor's queue. Counters need no lock.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry._logs import LoggerProvider, get_logger
from opentelemetry.context import Context
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider, get_tracer

from assay.semconv.catalogue import Catalogue
from assay.telemetry import _pipeline, bus
from assay.telemetry._bridge.audit_records import Auditor, audit_writer
from assay.telemetry._bridge.metrics import (
    InstrumentRecording,
    Instruments,
    RecordMeasurements,
    create_redaction_hits,
    create_trigger,
    recorder,
)
from assay.telemetry._bridge.open_spans import open_spans
from assay.telemetry._bridge.plan import Plan, compile_plans, exempt_events, span_of_phases, start_events
from assay.telemetry._bridge.reentrancy import run_deferring
from assay.telemetry._bridge.scope import OWN_SCOPE, Scope
from assay.telemetry._bridge.signals import Relay, Signals, event_handler
from assay.telemetry._bridge.span_end import end_handler
from assay.telemetry._bridge.span_start import start_handler
from assay.telemetry._otel_context import get_current
from assay.telemetry.errors import BridgeConflictError, HandlerExistsError

__all__ = [
    "Auditor",
    "Bridge",
    "Defaults",
    "Scope",
    "attached",
    "before_collection",
    "defaults",
    "record",
    "relay_recordings",
    "set_defaults",
]

HANDLER_ID = "assay.bridge"
_DRAINING_ID = "assay.bridge.draining"


@dataclass(frozen=True, slots=True)
class Defaults:
    """A distro's settings for the bridges of this process.

    Args:
        catalogue: The registry, with the user's own; None: the generated one.
        audit: Accepts audit records; None disables the audit trail.
        records: Whether this process records measurements.
    """

    catalogue: Catalogue | None = None
    audit: Auditor | None = None
    records: bool = True


class Bridge:
    """Emits OpenTelemetry signals for bus events, as a catalogue defines them.

    Args:
        catalogue: The definitions. They are compiled here, once.
        scope: The instrumentation scope of all signals.
        tracer_provider: None is the global one.
        meter_provider: None is the global one.
        logger_provider: None is the global one.
        audit: Accepts audit records; None disables the audit trail.
        records: Whether this process records measurements; see `relay_recordings`.

    Attributes:
        recorded_events: The events that its instruments record.

    Raises:
        PlanError: The catalogue contradicts itself.
    """

    def __init__(  # noqa: PLR0913 - one for each signal
        self,
        catalogue: Catalogue,
        *,
        scope: Scope = OWN_SCOPE,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        audit: Auditor | None = None,
        records: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._scope = scope
        self._tracer_provider = tracer_provider
        self._meter_provider = meter_provider
        self._logger_provider = logger_provider
        self._audit = audit
        self._plans = compile_plans(catalogue)
        self.recorded_events = frozenset(name for name, plan in self._plans.items() if plan.recordings)
        self._records = records
        self._relay: Relay | None = None
        self._instruments: Instruments | None = None
        self._recordings: dict[str, tuple[InstrumentRecording, ...]] = {}
        self._recorders: dict[str, RecordMeasurements] = {}
        self._subscriptions = [self._subscription(plan) for plan in self._plans.values() if _causes(plan)]
        if records:
            create_redaction_hits(meter_provider, OWN_SCOPE)

    def attach(self) -> None:
        """Handle the catalogue's events.

        Raises:
            BridgeConflictError: Another attached bridge handles one of them.
        """
        with _lock:
            # The open spans of a bridge that was detached are now this one's to end.
            bus.unsubscribe(f"{_DRAINING_ID}:{name}" for name in self._plans)
            try:
                bus.subscribe(self._subscriptions)
            except HandlerExistsError as error:
                raise BridgeConflictError(
                    f"{error}: another bridge handles this event; detach it, or give each bridge its own "
                    "part of the catalogue (Catalogue.of)"
                ) from error
            _attached.append(self)
            for event in _triggered:
                self.prepare(event)
            _describe_events()
            if _relay is not None:
                self.relay_recordings(_relay)

    def detach(self) -> None:
        """Stop handling events. The last event of an open span still ends it, and causes nothing else."""
        with _lock:
            if self not in _attached:
                return
            _attached.remove(self)
            bus.unsubscribe(subscription.id for subscription in self._subscriptions)
            _describe_events()
            self._forget_handlers()
            self._drain()

    def prepare(self, event: str) -> None:
        """Create the instruments of an event now: during a collection the SDK cannot create them."""
        if self._records and event in self.recorded_events:
            self._recordings_of(event)

    def relay_recordings(self, relay: Relay) -> None:
        """Record nothing here; pass the events to `relay(event, measurements, metadata, context)`."""
        self._relay, self._records = relay, False
        self._forget_handlers()

    def record(
        self,
        event: str,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        context: Context | None = None,
    ) -> None:
        """Record the measurements of an event that another process emitted; cause no other signal.

        Args:
            event: Its name.
            measurements: Its measurements.
            metadata: Its metadata as that process's handlers got it.
            context: The context for exemplars; None: the current one.
        """
        function = self._recorders.get(event)
        if function is None:
            function = self._recorders[event] = recorder(self._recordings_of(event))
        function(measurements, metadata, get_current() if context is None else context)

    def _subscription(self, plan: Plan) -> bus.Subscription:
        subscription = bus.Subscription(f"{HANDLER_ID}:{plan.name}", (plan.name,), self._generate, None)
        subscription.config = subscription  # a deferred event finds its handler there
        return subscription

    def _generate(
        self,
        event: str,
        measurements: Mapping[str, Any],
        metadata: Mapping[str, Any],
        config: bus.Subscription,
    ) -> None:
        """Handle an event for the first time: generate its handler."""

        def generate() -> None:
            config.handler = self._handler(self._plans[event])

        if run_deferring(generate, event, measurements, metadata, config):
            config.handler(event, measurements, metadata, config)

    def _forget_handlers(self) -> None:
        """Generate all handlers anew when they are needed; their source text goes with them."""
        for subscription in self._subscriptions:
            subscription.handler = self._generate

    def _handler(self, plan: Plan) -> bus.Handler:
        signals = Signals(log=plan.log)
        if plan.recordings:
            recordings = self._recordings_of(plan.name) if self._records else ()
            signals = replace(signals, recordings=recordings, relay=self._relay)
        if plan.log is not None:
            logger = get_logger(
                self._scope.name, self._scope.version, self._logger_provider, self._scope.schema_url
            )
            write_audit = None
            if self._audit is not None and plan.log.audit is not None:
                write_audit = audit_writer(self._audit, plan.log, plan.log.audit)
            signals = replace(signals, logger=logger, write_audit=write_audit)
        return self._handler_of(plan, signals)

    def _handler_of(self, plan: Plan, signals: Signals) -> bus.Handler:
        span = plan.starts or plan.ends
        if span is None:
            return event_handler(signals)
        tracer = get_tracer(
            self._scope.name, self._scope.version, self._tracer_provider, self._scope.schema_url
        )
        spans = open_spans(span.event)
        if plan.starts:
            return start_handler(tracer, span, signals, spans)
        return end_handler(tracer, span, plan.phase, signals, spans)

    def _recordings_of(self, event: str) -> tuple[InstrumentRecording, ...]:
        found = self._recordings.get(event)
        if found is None:
            if self._instruments is None:
                self._instruments = Instruments(self._meter_provider, self._scope)
            plan = self._plans.get(event)
            found = self._instruments.prepare(plan.recordings if plan else ())
            self._recordings[event] = found
        return found

    def _drain(self) -> None:
        """Keep handlers that only end the spans that are open now."""
        for plan in self._plans.values():
            if plan.ends is not None and len(open_spans(plan.ends.event)):
                bus.subscribe([self._draining(plan, plan.ends.event)])

    def _draining(self, plan: Plan, span: str) -> bus.Subscription:
        handler = self._handler_of(plan, Signals())
        spans = open_spans(span)
        phases = [f"{_DRAINING_ID}:{name}" for name, other in self._plans.items() if other.ends is plan.ends]

        def drain(
            event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: bus.Subscription
        ) -> None:
            if metadata.get("telemetry_span_context") in spans.by_key:
                handler(event, measurements, metadata, config)
            if not spans.by_key:
                bus.unsubscribe(phases)

        subscription = bus.Subscription(f"{_DRAINING_ID}:{plan.name}", (plan.name,), drain, None)
        subscription.config = subscription
        return subscription


def attached() -> tuple[Bridge, ...]:
    """Return the attached bridges."""
    return tuple(_attached)


def record(
    event: str,
    measurements: Mapping[str, Any],
    metadata: Mapping[str, Any],
    context: Context | None = None,
) -> None:
    """Record an event that another process emitted, in the attached bridge that has instruments for it.

    Args: as `Bridge.record`.
    """
    for bridge in _attached:
        if event in bridge.recorded_events:
            bridge.record(event, measurements, metadata, context)


def before_collection(
    event: str,
    callback: Callable[[], object],
    meter_provider: MeterProvider | None = None,
    scope: Scope = OWN_SCOPE,
) -> None:
    """Call a function before each collection of metrics, to emit an event that the collection shall include.

    The SDK calls the callbacks of a provider in the order in which they were created. If the event is
    recorded in a counter that an earlier event, or an earlier request for the event, has created, the counter
    shows it one collection later.

    Args:
        event: The event. The SDK keeps the first function for an event, a provider and a scope.
        callback: Emits the event.
        meter_provider: The provider whose metrics are collected; None is the global one.
        scope: The instrumentation scope.
    """
    with _lock:
        _triggered.add(event)
        create_trigger(event, callback, meter_provider, scope)
        for bridge in _attached:
            bridge.prepare(event)


def relay_recordings(relay: Relay) -> None:
    """Let another process record what this one measures, so that each series has one writer.

    It holds for the bridges that are attached now, and for those that are attached later.

    Args:
        relay: Takes the event, its measurements, its metadata and the context for exemplars; to be handed to
            `record` in the other process.
    """
    global _relay  # noqa: PLW0603 - one to a process
    with _lock:
        _relay = relay
        for bridge in _attached:
            bridge.relay_recordings(relay)


def set_defaults(given: Defaults | None) -> None:
    """Set what the instrumentors' bridges of this process get; None: nothing."""
    global _defaults  # noqa: PLW0603 - one to a process
    _defaults = given or Defaults()


def defaults() -> Defaults:
    """Return what the instrumentors' bridges of this process get; the catalogue is never None."""
    if _defaults.catalogue is not None:
        return _defaults
    from assay.semconv import CATALOGUE  # noqa: PLC0415 - large, and not needed if a distro brings its own

    return replace(_defaults, catalogue=CATALOGUE)


_lock = threading.RLock()
_attached: list[Bridge] = []
_relay: Relay | None = None
_triggered: set[str] = set()
"""The events that `before_collection` emits."""
_defaults = Defaults()


def _causes(plan: Plan) -> bool:
    return bool(plan.starts or plan.ends or plan.recordings or plan.log)


def _describe_events() -> None:
    """Pass the events of the attached bridges' catalogues to the filters."""
    catalogue = Catalogue()
    for bridge in _attached:
        catalogue = catalogue.merged(bridge._catalogue)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - this module's own class
    _pipeline.describe(exempt_events(catalogue), span_of_phases(catalogue), start_events(catalogue))


def _reset_after_fork() -> None:
    """Replace the lock, which another thread of the parent may have held when the process forked."""
    global _lock  # noqa: PLW0603 - the child's own
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
