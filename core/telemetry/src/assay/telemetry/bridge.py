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

from opentelemetry._logs import LoggerProvider, get_logger
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider, get_tracer

from assay.semconv.catalogue import Catalogue
from assay.telemetry import bus, filters
from assay.telemetry.audits import Auditor, audit_writer
from assay.telemetry.closing import closing_handler
from assay.telemetry.instruments import Instruments, Recorded, Recorder, recorder
from assay.telemetry.opened import OpenSpans
from assay.telemetry.opening import opening_handler
from assay.telemetry.plan import Plan, compile_plans, exempt_events, phases
from assay.telemetry.runtime import get_current
from assay.telemetry.scope import VERSION, scope_name
from assay.telemetry.telling import Telling, plain_handler

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
        self._recorded: dict[str, tuple[Recorded, ...]] = {}
        self._recorders: dict[str, Recorder] = {}
        self._subscriptions: list[bus.Subscription] = []
        for plan in self._plans.values():
            self._recorded[plan.name] = self._instruments.make(plan.records) if self._instruments else ()
            self._subscribe(plan)
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
        record = self._recorders.get(event)
        if record is None:
            record = self._recorders[event] = recorder(self._recorded.get(event, ()))
        record(measurements or {}, metadata or {}, get_current())

    def _subscribe(self, plan: Plan) -> None:
        """Listen to the plan's event; its handler is written when it is told the first time."""
        recorded = self._recorded[plan.name]
        if not (plan.opens or plan.closes or recorded or plan.log):
            return

        def write_handler(
            event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], config: object
        ) -> None:
            subscription.handler = self._write_handler(plan)
            subscription.handler(event, measurements, metadata, config)

        subscription = bus.Subscription(f"{HANDLER_ID}:{plan.name}", (plan.name,), write_handler, None)
        self._subscriptions.append(subscription)

    def _write_handler(self, plan: Plan) -> bus.Handler:
        logger = audit = None
        if plan.log is not None:
            logger = get_logger(scope_name(plan.name), VERSION, self._logger_provider)
            if self._audit is not None and plan.log.audit is not None:
                audit = audit_writer(self._audit, plan.log, plan.log.audit)
        telling = Telling(self._recorded[plan.name], plan.log, logger, audit)
        span = plan.opens or plan.closes
        if span is None:
            return plain_handler(telling)
        tracer = get_tracer(scope_name(span.event), VERSION, self._tracer_provider)
        if plan.opens:
            return opening_handler(tracer, span, telling, self._open)
        return closing_handler(tracer, span, telling, self._open, is_failure=plan.is_failure)


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
