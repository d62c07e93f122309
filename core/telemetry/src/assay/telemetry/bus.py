"""The event bus: attaches handlers to events, and calls them when an event is executed.

The contract is that of the BEAM's `:telemetry`. This module does not know OpenTelemetry.

The handler tables are copied on write, so emitting takes no lock and may happen while another thread
attaches a handler.
"""

from __future__ import annotations

import logging
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import count
from time import monotonic_ns, time_ns
from typing import Any, Protocol, TypeAlias

from assay.telemetry._breaker import Breaker
from assay.telemetry.errors import HandlerExistsError, PatternError

Measurements: TypeAlias = Mapping[str, Any]
Metadata: TypeAlias = Mapping[str, Any]
Handler: TypeAlias = Callable[[str, Measurements, Metadata, Any], object]
Filter: TypeAlias = Callable[[dict[str, Any]], Metadata | None]
"""Takes an event's metadata, which it may change; returns the metadata for the handlers, or None to drop the
event."""


class Dispatch(Protocol):
    """Pass one event to its filter and then to its handlers."""

    def __call__(
        self, measurements: Measurements, metadata: Metadata, event_filter: Filter | None = ..., /
    ) -> Metadata | None:
        """Return the metadata that the handlers got, or None if the filter dropped the event.

        Args:
            measurements: The event's measurements.
            metadata: The event's metadata: a dict that the filter may change; any mapping if there is no
                filter.
            event_filter: Replaces the event's own filter; None skips filtering.
        """


FAILURE_EVENT = "telemetry.handler.failure"
FILTER_ID = "telemetry.filter"
RECURSION_LIMIT = 8
"""How many times a handler may be active in one thread before further calls are refused."""
CACHE_LIMIT = 4096
"""How many event names are cached. A program that generates names loses the cache, nothing else."""

_logger = logging.getLogger("assay.telemetry")


class Subscription:
    """One attached handler: its patterns and its state."""

    __slots__ = ("breaker", "busy", "config", "failing", "handler", "id", "patterns", "reported", "serial")

    def __init__(self, handler_id: str, patterns: tuple[str, ...], handler: Handler, config: object) -> None:
        self.id = handler_id
        self.patterns = patterns
        self.handler = handler
        self.config = config
        self.serial = next(_serials)
        self.breaker = Breaker()
        self.busy = False
        self.failing = False
        self.reported = False


@dataclass(frozen=True)
class HandlerInfo:
    """One row of `list_handlers`.

    Args:
        id: As given to `attach`.
        event: The event or pattern.
        handler: The function.
        config: The fourth argument of each call.
        failures: Consecutive failures since the last success.
        is_cut: The breaker is open.
    """

    id: str
    event: str
    handler: Handler
    config: Any
    failures: int
    is_cut: bool


class _Table:
    """The attached handlers, and the routes resolved so far. Only `routes` changes after construction."""

    __slots__ = ("by_id", "by_name", "routes")

    def __init__(self, by_id: dict[str, Subscription]) -> None:
        self.by_id = by_id
        self.by_name: dict[str, list[Subscription]] = {}
        for subscription in by_id.values():
            for pattern in subscription.patterns:
                self.by_name.setdefault(pattern, []).append(subscription)
        self.routes: dict[str, Route] = {}


Route: TypeAlias = Dispatch | tuple[()]

_serials = count()
_write_lock = threading.RLock()
_table = _Table({})
routes = _table.routes
"""Dispatch function by event name; see `resolve`."""
_compile_filter: Callable[[str], Filter | None] | None = None
_depths = threading.local()


def execute(event: str, measurements: Measurements | None = None, metadata: Metadata | None = None) -> None:
    """Emit an event: call every handler that is attached to it.

    With no handler this costs one dict lookup. An `Exception` that a handler raises never reaches the caller;
    the bus emits `telemetry.handler.failure` instead, with measurements `system_time`, `monotonic_time` and
    `failures`, and metadata `handler_id`, `event_name`, `kind`, `reason`, `stacktrace` and `breaker` (`open`
    or `closed`). Other `BaseException`s, such as `KeyboardInterrupt`, propagate. A breaker stops calls to a
    handler that fails repeatedly, and retries it later.

    The bus takes no lock, so an event may be emitted in `__del__` and in a signal handler. A handler that
    takes a lock of its own must not be interrupted by itself; the bridge to OpenTelemetry defers such an
    event (see `assay.telemetry.bridge`).

    Args:
        event: Dotted name, such as `flowstone.sensor.poll`.
        measurements: Numbers. Durations are nanoseconds.
        metadata: Anything that describes the event. Handlers get it redacted and with a `correlation_id`.
    """
    route = routes.get(event)
    if route is None:
        route = resolve(event)
    if route:
        route(measurements or {}, dict(metadata) if metadata else {})


def attach(handler_id: str, event: str, handler: Handler, config: object = None) -> None:
    """Call `handler(event, measurements, metadata, config)` for each event that matches.

    Handlers run in the emitting thread, in the order in which they were attached. They share their arguments
    and must not change them.

    Args:
        handler_id: Unique; the argument of `detach`.
        event: An event's name; or a pattern: `flowstone.*` is every event below `flowstone`, `*` every event.
        handler: The function.
        config: Passed to each call.

    Raises:
        HandlerExistsError: The id is taken.
        PatternError: `event` is neither a name nor a pattern.
    """
    attach_many(handler_id, (event,), handler, config)


def attach_many(handler_id: str, events: Iterable[str], handler: Handler, config: object = None) -> None:
    """Attach one handler to several events or patterns; it is called once for an event that several match.

    Raises:
        HandlerExistsError: The id is taken.
        PatternError: One of `events` is neither a name nor a pattern.
    """
    patterns = tuple(dict.fromkeys(events))
    subscribe([Subscription(handler_id, patterns, handler, config)])


def subscribe(subscriptions: Iterable[Subscription]) -> None:
    """Attach many handlers in one step.

    Raises:
        HandlerExistsError: An id is taken; no handler is attached.
        PatternError: One of the patterns is invalid; no handler is attached.
    """
    added = list(subscriptions)
    for subscription in added:
        for pattern in subscription.patterns:
            check_pattern(pattern)
    with _write_lock:
        by_id = dict(_table.by_id)
        for subscription in added:
            if subscription.id in by_id:
                raise HandlerExistsError(
                    f"a handler {subscription.id!r} is already attached; detach it first or use another id"
                )
            by_id[subscription.id] = subscription
        _replace(by_id)


def detach(handler_id: str) -> bool:
    """Detach a handler; return whether it was attached."""
    return unsubscribe((handler_id,)) == 1


def unsubscribe(handler_ids: Iterable[str]) -> int:
    """Detach many handlers in one step; return how many were attached."""
    gone = set(handler_ids)
    with _write_lock:
        left = {key: value for key, value in _table.by_id.items() if key not in gone}
        removed = len(_table.by_id) - len(left)
        if removed:
            _replace(left)
    return removed


def list_handlers(prefix: str = "") -> list[HandlerInfo]:
    """Return the handlers whose event or pattern starts with `prefix`, in calling order."""
    return [
        HandlerInfo(s.id, pattern, s.handler, s.config, s.breaker.failures, s.breaker.is_open)
        for s in _table.by_id.values()
        for pattern in s.patterns
        if pattern.startswith(prefix)
    ]


def set_filter(compile_filter: Callable[[str], Filter | None] | None) -> None:
    """Install the filter that runs before the handlers.

    Args:
        compile_filter: Takes an event's name and returns its filter, or None for no filter. Called once for
            each name, and again after `refresh`.
    """
    global _compile_filter  # noqa: PLW0603 - the bus is one to a process
    with _write_lock:
        _compile_filter = compile_filter
        _replace(_table.by_id)


def refresh() -> None:
    """Clear the cached routes, so that filters are compiled again."""
    with _write_lock:
        _replace(_table.by_id)


def resolve(event: str) -> Route:
    """Return the dispatch function of an event, or () if it has no handler; cache it."""
    table = _table
    route = table.routes.get(event)
    if route is not None:
        return route
    found: dict[str, Subscription] = {}
    for name in _names_matching(event):
        for subscription in table.by_name.get(name, ()):
            found[subscription.id] = subscription
    route = ()
    if found:
        ordered = tuple(sorted(found.values(), key=lambda s: s.serial))
        route = _compile_route(event, _compile_filter(event) if _compile_filter else None, ordered)
    if len(table.routes) >= CACHE_LIMIT:
        table.routes.clear()
    table.routes[event] = route
    return route


def _compile_route(
    event: str, own_filter: Filter | None, subscriptions: tuple[Subscription, ...]
) -> Dispatch:
    def dispatch(
        measurements: Measurements, metadata: Metadata, event_filter: Filter | None = own_filter
    ) -> Metadata | None:
        if event_filter is not None:
            try:
                filtered = event_filter(metadata)  # type: ignore[arg-type] # a dict, as Dispatch says
            except Exception as error:  # noqa: BLE001 - an event must not break its emitter
                report_failure(FILTER_ID, event, error)
                return None
            if filtered is None:
                return None
            metadata = filtered
        for subscription in subscriptions:
            if subscription.busy or subscription.failing:
                _call_guarded(subscription, event, measurements, metadata)
                continue
            # The flag separates the common case (the handler is idle) from the rare ones, which are counted
            # by thread: recursion, and two threads in one handler.
            subscription.busy = True
            try:
                subscription.handler(event, measurements, metadata, subscription.config)
            except Exception as error:  # noqa: BLE001 - a handler must not break its emitter
                _failed(subscription, event, error)
            finally:
                subscription.busy = False
        return metadata

    return dispatch


def _call_guarded(
    subscription: Subscription, event: str, measurements: Measurements, metadata: Metadata
) -> None:
    if not subscription.breaker.allows():
        return
    depths: dict[str, int] = _depths.__dict__
    depth = depths.get(subscription.id, 0)
    depths[subscription.id] = depth + 1
    try:
        _check_depth(subscription, event, depth)
        subscription.handler(event, measurements, metadata, subscription.config)
    except Exception as error:  # noqa: BLE001 - a handler must not break its emitter
        _failed(subscription, event, error)
    else:
        subscription.failing = False
        subscription.breaker.succeeded()
    finally:
        if depth:
            depths[subscription.id] = depth
        else:
            depths.pop(subscription.id, None)


def _check_depth(subscription: Subscription, event: str, depth: int) -> None:
    if depth >= RECURSION_LIMIT:
        raise RecursionError(
            f"handler {subscription.id!r} is active {depth} times in this thread; it did not get {event}"
        )


def _failed(subscription: Subscription, event: str, error: Exception) -> None:
    subscription.failing = True
    opened = subscription.breaker.failed()
    if opened or not subscription.reported:
        subscription.reported = True
        _logger.warning(
            "telemetry handler %r failed on %s%s",
            subscription.id,
            event,
            "; calls to it are suspended for a while" if opened else "",
            exc_info=error,
        )
    report_failure(subscription.id, event, error, subscription.breaker)


def report_failure(handler_id: str, event: str, error: Exception, breaker: Breaker | None = None) -> None:
    """Emit `telemetry.handler.failure`, unless a handler of that very event failed: that would never end."""
    if event == FAILURE_EVENT:
        return
    execute(
        FAILURE_EVENT,
        {
            "system_time": time_ns(),
            "monotonic_time": monotonic_ns(),
            "failures": breaker.failures if breaker else 1,
        },
        {
            "handler_id": handler_id,
            "event_name": event,
            "kind": type(error).__qualname__,
            "reason": error,
            "stacktrace": _format(error),
            "breaker": "open" if breaker and breaker.is_open else "closed",
        },
    )


def _format(error: Exception) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return ""


def _replace(by_id: dict[str, Subscription]) -> None:
    """Publish a new table; a thread that still resolves against the old one fills the old one's routes."""
    global _table, routes  # noqa: PLW0603 - replaced as a whole, never changed in place
    table = _Table(by_id)
    _table = table
    routes = table.routes


def _names_matching(event: str) -> Iterable[str]:
    """Yield the event's own name and every pattern that matches it."""
    yield event
    yield "*"
    position = event.find(".")
    while position > 0:
        yield event[: position + 1] + "*"
        position = event.find(".", position + 1)


def check_pattern(pattern: str) -> None:
    """Raise `PatternError` if `pattern` is neither an event's name nor a pattern."""
    stem = pattern.removesuffix(".*")
    if pattern == "*" or (stem and "*" not in stem and all(stem.split("."))):
        return
    raise PatternError(
        f"{pattern!r} is not an event name or a pattern; write a dotted name such as "
        "'flowstone.sensor.poll', 'flowstone.*' for every event below it, or '*' for every event"
    )


def _reset_after_fork() -> None:
    """Replace state that another thread of the parent may have held when the process forked."""
    global _write_lock, _depths  # noqa: PLW0603 - the child's own
    _write_lock = threading.RLock()
    _depths = threading.local()
    for subscription in _table.by_id.values():
        subscription.busy = False


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
