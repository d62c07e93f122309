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
from typing import Any
from weakref import WeakSet

from opentelemetry import context as otel_context
from opentelemetry._logs import LoggerProvider, get_logger
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider, get_tracer

from assay.semconv.catalogue import Catalogue
from assay.telemetry import bus, filters
from assay.telemetry.audits import Auditor, Write, audit_writer
from assay.telemetry.closing import closing_handler
from assay.telemetry.instruments import Instruments, Recorder
from assay.telemetry.logs import Log, log_emitter
from assay.telemetry.opened import OpenSpans
from assay.telemetry.opening import opening_handler
from assay.telemetry.plan import Plan, compile_plans, exempt_events, phases
from assay.telemetry.scope import VERSION, scope_name
from assay.telemetry.telling import CORRELATION_ATTRIBUTE, Telling, plain_handler

HANDLER_ID = "assay.bridge"


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
        telling = Telling(recorders, self._compile_log(plan), self._compile_audit(plan))
        span = plan.opens or plan.closes
        if span is None and not telling:
            return
        if span is None:
            handler = plain_handler(telling)
        else:
            tracer = get_tracer(scope_name(span.event), VERSION, self._tracer_provider)
            if plan.opens:
                handler = opening_handler(tracer, span, telling, self._open)
            else:
                handler = closing_handler(tracer, span, telling, self._open, is_failure=plan.is_failure)
        self._subscriptions.append(bus.Subscription(f"{HANDLER_ID}:{plan.name}", (plan.name,), handler, None))

    def _compile_log(self, plan: Plan) -> Log | None:
        if plan.log is None:
            return None
        logger = get_logger(scope_name(plan.name), VERSION, self._logger_provider)
        span = plan.opens or plan.closes
        return log_emitter(logger, plan.log, CORRELATION_ATTRIBUTE, span.attributes if span else ())

    def _compile_audit(self, plan: Plan) -> Write | None:
        if self._audit is None or plan.log is None or plan.log.audit is None:
            return None
        return audit_writer(self._audit, plan.log, plan.log.audit, CORRELATION_ATTRIBUTE)


def current() -> Bridge | None:
    """Return the bridge that is attached."""
    return _current


_current: Bridge | None = None
_bridges: WeakSet[Bridge] = WeakSet()


def _reset_after_fork() -> None:
    """Spans that are open in the parent are the parent's to end; here they are only parents of new ones."""
    for bridge in _bridges:
        bridge._open.clear()  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] - this module's own class


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
