"""Emits the bus's audit records.

A record is accepted when it is in the queue on disk. Without that queue, it is accepted when the endpoint has
it; on an event loop it then waits in memory. An event loop waits for neither, except inside
`assay.telemetry.fail_closed`. A record that is not accepted is reported as a handler failure, and counted in
`audit.records.dropped`.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import get_tracer_provider

# Creates the counters: they exist before the first record, which loads the rest of the package.
from assay.audit import instruments as _  # noqa: F401
from assay.audit.errors import AuditError, RejectedError, UnconfirmedError
from assay.distro._audit_remedies import remedy
from assay.distro._settings import Settings
from assay.telemetry import audit_required, bus

if TYPE_CHECKING:
    from concurrent.futures import Future

    from assay.audit import AuditProvider, AuditReceipt
    from assay.distro._audit_routes import Route

HANDLER_ID = "assay.distro.audit"
"""The `handler_id` of a `telemetry.handler.failure` about a record that waited in the queue."""
INTERVAL = 60.0
"""Seconds between two log messages about lost records."""

_logger = logging.getLogger("assay.distro.audit")


class AuditEmitter:
    """The audit writer of this process's bridges.

    Args:
        settings: Where records wait and go.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._routes: dict[int, Route] = {}
        self._silent_until = 0.0
        self._lost = 0

    def __call__(
        self,
        event_name: str,
        attributes: Mapping[str, Any],
        body: Mapping[str, Any] | None,
        *,
        time_unix_nano: int,
    ) -> None:
        """Emit one record.

        Raises:
            AuditError: It was not accepted, or on an event loop: it cannot be.
        """
        from assay.audit.bus_events import record_of_event  # noqa: PLC0415 - not before the first record

        route = self._route_of_process()
        try:
            record = record_of_event(event_name, attributes, body, time_unix_nano)
            if audit_required() or not _is_on_event_loop():
                future = route.emit(record)
            else:
                future = route.emit_async(record)
        except AuditError as error:
            self._report(event_name, error)
            raise
        if future is not None:
            future.add_done_callback(lambda done: self._check(event_name, done))

    def provider(self) -> AuditProvider:
        """Return this process's provider, for the records that the application emits itself.

        Raises:
            ConfigurationError: The settings of the endpoint are wrong.
        """
        return self._route_of_process().provider()

    def shutdown(self, timeout: float) -> None:
        """Send the records that wait. Those that wait after the timeout stay on disk, or are reported.

        Args:
            timeout: Seconds to wait at most.
        """
        route = self._routes.get(os.getpid())
        if route is not None:
            route.shutdown(timeout)

    def flush(self, timeout: float) -> bool:
        """Send the records that wait, and return whether none waits any more.

        Args:
            timeout: Seconds to wait at most.
        """
        route = self._routes.get(os.getpid())
        return route is None or route.flush(timeout)

    def _route_of_process(self) -> Route:
        """Return this process's route; the resource of a forked child has its own instance id."""
        process = os.getpid()
        if process not in self._routes:
            from assay.distro._audit_routes import route  # noqa: PLC0415 - not before the first record

            resource: Resource = getattr(get_tracer_provider(), "resource", Resource.get_empty())
            made = route(self._settings, dict(resource.attributes))
            # Another thread may have been faster: its route stays.
            self._routes.setdefault(process, made)
        return self._routes[process]

    def _check(self, event_name: str, future: Future[AuditReceipt]) -> None:
        error = future.exception()
        if isinstance(error, Exception) and not isinstance(error, UnconfirmedError):
            if not isinstance(error, RejectedError):  # the processor has logged it
                self._report(event_name, error)
            bus.report_failure(HANDLER_ID, event_name, error)

    def _report(self, event_name: str, error: Exception) -> None:
        self._lost += 1
        now = monotonic()
        if now < self._silent_until:
            return
        self._silent_until = now + INTERVAL
        _logger.error(
            "audit record %s was not accepted: %s (%d lost so far in this process). %s"
            "`assay doctor` shows more.",
            event_name,
            error,
            self._lost,
            remedy(error),
        )


def _is_on_event_loop() -> bool:
    asyncio = sys.modules.get("asyncio")  # loaded if a loop runs
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
