"""Defer an event that is emitted while its thread is inside a handler of a bridge.

OpenTelemetry's SDK takes locks that a thread cannot take twice. A signal handler, or a `__del__` that the
garbage collector runs, may interrupt a thread that holds such a lock and emit an event: the event's handler
would wait for its own thread for ever. Such an event is stored, and handled when the interrupted handler
ends.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from threading import get_ident
from typing import Any, TypeAlias

from opentelemetry.context import Context

from assay.telemetry import bus
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._otel_context import attach, get_current

Deferred: TypeAlias = tuple[bus.Subscription, str, Mapping[str, Any], Mapping[str, Any], Context]

_inside: set[int] = set()
"""Identifiers of the threads that are inside a handler."""
_deferred: dict[int, deque[Deferred]] = {}
"""Events to be handled, by thread."""


@contextmanager
def deferring(source: Source) -> Generator[None]:
    """Write the body of a handler so that it defers an event that interrupts a handler in the same thread.

    Args:
        source: A handler; its `config` is its subscription.
    """
    source.use("event", "measurements", "metadata", "config")
    source.define("thread")
    source.write(
        """
        thread = get_ident()
        if thread in inside:
            defer(thread, event, measurements, metadata, config)
            return
        """,
        get_ident=get_ident,
        inside=_inside,
        defer=_defer,
    )
    with source.block("try"):
        source.write("inside.add(thread)")
        yield
    with source.block("finally"):
        source.write(
            """
            inside.discard(thread)
            if deferred:
                handle_deferred(thread)
            """,
            deferred=_deferred,
            handle_deferred=_handle_deferred,
        )


def run_deferring(
    function: Callable[[], object],
    event: str,
    measurements: Mapping[str, Any],
    metadata: Mapping[str, Any],
    subscription: bus.Subscription,
) -> bool:
    """Run a function that takes locks of the SDK on behalf of an event, as `deferring` does with a handler.

    Returns:
        Whether it ran; if not, the event is deferred.
    """
    thread = get_ident()
    if thread in _inside:
        _defer(thread, event, measurements, metadata, subscription)
        return False
    try:
        _inside.add(thread)
        function()
    finally:
        _inside.discard(thread)
        if _deferred:
            _handle_deferred(thread)
    return True


def _defer(
    thread: int,
    event: str,
    measurements: Mapping[str, Any],
    metadata: Mapping[str, Any],
    subscription: bus.Subscription,
) -> None:
    queue = _deferred.setdefault(thread, deque())
    queue.append((subscription, event, measurements, metadata, get_current()))


def _handle_deferred(thread: int) -> None:
    queue = _deferred.pop(thread, None)
    while queue:
        subscription, event, measurements, metadata, context = queue.popleft()
        before = get_current()
        attach(context)
        try:
            subscription.handler(event, measurements, metadata, subscription)
        except Exception as error:  # noqa: BLE001 - as in the bus: a handler must not break its emitter
            bus.report_failure(subscription.id, event, error)
        finally:
            attach(before)


def _reset_after_fork() -> None:
    """Forget the parent's other threads: identifiers are reused."""
    thread = get_ident()
    for other in [one for one in _inside if one != thread]:
        _inside.discard(other)
    for other in [one for one in _deferred if one != thread]:
        _deferred.pop(other)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_reset_after_fork)
