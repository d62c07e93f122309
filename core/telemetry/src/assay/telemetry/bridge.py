"""From the bus to OpenTelemetry: spans, instruments, log events, and records for an audit trail.

```python
from assay.semconv import CATALOGUE
from assay.telemetry.bridge import Bridge

Bridge(CATALOGUE).attach()
```

A sampled event carries its weight (metadata `telemetry_weight`, 1/rate): counters add it; a histogram records
the value that many times, a fraction by chance, so that count, sum and quantiles stay unbiased; gauges and
log events take no notice. Nothing is recorded while OpenTelemetry's `suppress_instrumentation` holds, but
audit records, which nothing may suppress.

To begin a span under a remote parent, attach its context (`opentelemetry.propagate.extract`) around the event
that starts the span.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from time import time_ns
from typing import Any
from weakref import WeakSet

from opentelemetry import context as otel_context
from opentelemetry._logs import LoggerProvider, get_logger
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import SpanKind, TracerProvider, get_tracer

from assay.semconv.catalogue import Catalogue, Span
from assay.telemetry import bus, filters
from assay.telemetry.audits import Auditor, Write, audit_writer
from assay.telemetry.closing import Closing
from assay.telemetry.instruments import Instruments, Recorder
from assay.telemetry.logs import Log, log_emitter
from assay.telemetry.opened import OPENED_KEY, Opened, OpenSpans, living
from assay.telemetry.plan import Plan, compile_plans, exempt_events, extractor, phases
from assay.telemetry.scope import VERSION, scope_name

HANDLER_ID = "assay.bridge"
AUDIT_HANDLER_ID = "assay.bridge.audit"
CORRELATION_ATTRIBUTE = "assay.correlation_id"
"""Carries the correlation id on spans, log events and audit records."""

# As every instrumentation, for want of a public name.
_SUPPRESS = otel_context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


class Bridge:
    """Turns bus events into OpenTelemetry's signals, as the catalogue says.

    Args:
        catalogue: What becomes of which event. Compiled here, once.
        tracer_provider: Takes the spans; None is the global one.
        meter_provider: Takes the measurements; None is the global one.
        logger_provider: Takes the log events; None is the global one.
        audit: Takes the audit records; None: there are none.
        instruments: Whether this process records measurements. A child process that hands its events to its
            parent does not, so that each series has one writer; the parent gives them to `record`.

    Raises:
        PlanError: The catalogue contradicts itself.
    """

    def __init__(  # noqa: PLR0913 - one for each signal
        self,
        catalogue: Catalogue,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        audit: Auditor | None = None,
        instruments: bool = True,
    ) -> None:
        self._catalogue = catalogue
        self._tracer_provider = tracer_provider
        self._logger_provider = logger_provider
        self._audit = audit
        self._instruments = Instruments(meter_provider) if instruments else None
        self._plans = compile_plans(catalogue)
        self._exempt, self._phases = exempt_events(catalogue), phases(catalogue)
        self._open = OpenSpans()
        self._recorders: dict[str, tuple[Recorder, ...]] = {}
        self._subscriptions: list[bus.Subscription] = []
        for plan in self._plans.values():
            self._compile(plan)
        _bridges.add(self)

    def attach(self) -> None:
        """Listen to the bus.

        Raises:
            HandlerExistsError: A bridge is attached already.
        """
        global _current  # noqa: PLW0603 - the bus is one to a process, and so is its bridge
        bus.subscribe(self._subscriptions)
        filters.describe(self._exempt, self._phases)
        _current = self

    def detach(self) -> None:
        """Listen no more. Spans that are open are lost; in this thread none stays current."""
        global _current  # noqa: PLW0603 - as above
        if _current is self:
            bus.unsubscribe(s.id for s in self._subscriptions)
            filters.describe(frozenset(), {})
            _current = None
        self._open.abandon()

    @property
    def recorded_events(self) -> tuple[str, ...]:
        """The bus events that instruments record: what a child process hands to its parent."""
        return tuple(name for name, plan in self._plans.items() if plan.records)

    def without_instruments(self) -> Bridge:
        """Return a bridge like this one that records nothing, for a child process whose parent does."""
        return Bridge(
            self._catalogue,
            tracer_provider=self._tracer_provider,
            logger_provider=self._logger_provider,
            audit=self._audit,
            instruments=False,
        )

    def record(
        self, event: str, measurements: Mapping[str, Any] | None, metadata: Mapping[str, Any] | None
    ) -> None:
        """Record an event in its instruments and nowhere else: one that another process has told.

        Args:
            event: Its name.
            measurements: As they were on the bus.
            metadata: As handlers got it in that process.
        """
        context = otel_context.get_current()
        for recorder in self._recorders.get(event, ()):
            recorder(measurements or {}, metadata or {}, context)

    def _compile(self, plan: Plan) -> None:
        recorders = self._instruments.recorders(plan.records) if self._instruments else ()
        self._recorders[plan.name] = recorders
        log, write = self._compile_log(plan), self._compile_audit(plan)
        if plan.opens:
            handler = self._opening(plan.opens, recorders, log, write)
        elif plan.closes:
            handler = self._closing(plan, plan.closes, recorders, log, write)
        else:
            handler = _plain(recorders, log, write)
        if plan.opens or plan.closes or recorders or log or write:
            self._subscriptions.append(
                bus.Subscription(f"{HANDLER_ID}:{plan.name}", (plan.name,), handler, None)
            )

    def _compile_log(self, plan: Plan) -> Log | None:
        if plan.log is None:
            return None
        logger = get_logger(scope_name(plan.name), VERSION, self._logger_provider)
        return log_emitter(
            logger, plan.log, CORRELATION_ATTRIBUTE, plan.closes.attributes if plan.closes else ()
        )

    def _compile_audit(self, plan: Plan) -> Write | None:
        if self._audit is None or plan.log is None or plan.log.audit is None:
            return None
        return audit_writer(self._audit, plan.log, plan.log.audit, CORRELATION_ATTRIBUTE)

    def _opening(
        self, span: Span, recorders: tuple[Recorder, ...], log: Log | None, write: Write | None
    ) -> bus.Handler:
        tracer = get_tracer(scope_name(span.event), VERSION, self._tracer_provider)
        start_span, name, kind = tracer.start_span, span.event, SpanKind[span.kind.upper()]
        extract, keep, enter = extractor(span.attributes), self._open.add, otel_context.attach

        def handle(
            _event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
        ) -> None:
            context = otel_context.get_current()
            if OPENED_KEY in context:
                context = living(context)
            correlation_id = metadata.get("correlation_id")
            time = measurements.get("system_time") or time_ns()
            if not context.get(_SUPPRESS):
                key = metadata.get("telemetry_span_context")
                if key is not None:
                    attributes: dict[str, Any] = {}
                    extract(measurements, metadata, attributes)
                    if correlation_id is not None:
                        attributes[CORRELATION_ATTRIBUTE] = correlation_id
                    # By position, and exceptions left to the span's last event.
                    started = start_span(name, context, kind, attributes, (), time, False, False)
                    opened = Opened(started, context, time, metadata, attributes)
                    keep(key, opened)
                    context = opened.context
                    enter(context)
                for recorder in recorders:
                    recorder(measurements, metadata, context)
                if log is not None:
                    log(measurements, metadata, context, time, correlation_id)
            if write is not None:
                _audited(write, _event, measurements, metadata, time, correlation_id)

        return handle

    def _closing(
        self,
        plan: Plan,
        span: Span,
        recorders: tuple[Recorder, ...],
        log: Log | None,
        write: Write | None,
    ) -> bus.Handler:
        tracer = get_tracer(scope_name(span.event), VERSION, self._tracer_provider)
        closing = Closing(
            tracer, span, is_failure=plan.is_failure, correlation_attribute=CORRELATION_ATTRIBUTE
        )
        take, reopen, end, explain = self._open.take, closing.reopen, closing.end, closing.explain
        is_failure = plan.is_failure

        def handle(
            event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
        ) -> None:
            correlation_id = metadata.get("correlation_id")
            opened = take(metadata.get("telemetry_span_context"))
            known = opened.attributes if opened is not None and metadata is opened.metadata else None
            if is_failure:
                metadata = explain(metadata)
            time = _ended(opened, measurements)
            if opened is None and "duration" in measurements and not _is_suppressed():
                opened = reopen(otel_context.get_current(), time, measurements, metadata)
            if opened is not None or not _is_suppressed():
                context = otel_context.get_current() if opened is None else opened.context
                for recorder in recorders:
                    recorder(measurements, metadata, context)
                if log is not None:
                    log(measurements, metadata, context, time, correlation_id, known)
            if write is not None:
                _audited(write, event, measurements, metadata, time, correlation_id)
            if opened is not None:
                end(opened, time, measurements, metadata)

        return handle


def current() -> Bridge | None:
    """Return the bridge that is attached."""
    return _current


def _is_suppressed() -> bool:
    return bool(otel_context.get_current().get(_SUPPRESS))


def _ended(opened: Opened | None, measurements: Mapping[str, Any]) -> int:
    """Return when a span ended, in Unix nanoseconds: by its own clock, so that its length is its duration."""
    duration = measurements.get("duration")
    return time_ns() if opened is None or duration is None else opened.start_time + int(duration)


def _plain(recorders: tuple[Recorder, ...], log: Log | None, write: Write | None) -> bus.Handler:
    def handle(
        event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
    ) -> None:
        context = otel_context.get_current()
        correlation_id = metadata.get("correlation_id")
        if not context.get(_SUPPRESS):
            for recorder in recorders:
                recorder(measurements, metadata, context)
            if log is not None:
                log(measurements, metadata, context, time_ns(), correlation_id)
        if write is not None:
            time = measurements.get("system_time") or time_ns()
            _audited(write, event, measurements, metadata, time, correlation_id)

    return handle


def _audited(  # noqa: PLR0913, PLR0917 - the writer's own arguments, and the event's name
    write: Write,
    event: str,
    measurements: Mapping[str, Any],
    metadata: Mapping[str, Any],
    time: int,
    correlation_id: str | None,
) -> None:
    """Write a record. A failure is told as a handler's but trips no breaker: the next one is tried too."""
    try:
        write(measurements, metadata, time, correlation_id)
    except Exception as error:  # noqa: BLE001 - must break neither the emitter nor the span
        bus.report_failure(AUDIT_HANDLER_ID, event, error)


_current: Bridge | None = None
_bridges: WeakSet[Bridge] = WeakSet()


def _reset_after_fork() -> None:
    """Spans that are open in the parent are the parent's to end; here they are only parents of new ones."""
    for bridge in _bridges:
        bridge._open.clear()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - this module's own class


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
