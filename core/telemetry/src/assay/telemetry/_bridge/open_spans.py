"""The spans that are open, and the context that each of them replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

from assay.telemetry._bridge.codegen import Source
from assay.telemetry._otel_context import OPEN_SPAN_KEY, SPAN_KEY, attach, get_current

OPEN_LIMIT = 10_000
"""Open spans of one event. Beyond it the oldest is ended: its end event is assumed to be lost."""
EVICTED_LIMIT = 10_000
"""How many ended spans are remembered because their end event may still come."""

_NOWHERE = Context()


class OpenSpan:
    """One open span.

    Attributes:
        span: OpenTelemetry's span.
        outside: The context that was current before.
        outer: The open span in that context.
        start_time: Unix time in nanoseconds.
        metadata: The metadata of the event that started the span.
        attributes: The attributes that the span got from it.
        closed: The span has ended.
        context: The context in which the span is current.
        failure: Type and message of the error of a span inside, if one ended with an error.
        shadowed: The span with the same key that was open before, if an emitter uses a key twice.
    """

    __slots__ = (
        "attributes",
        "closed",
        "context",
        "failure",
        "metadata",
        "outer",
        "outside",
        "shadowed",
        "span",
        "start_time",
    )

    span: Span
    outside: Context
    outer: OpenSpan | None
    start_time: int
    metadata: Mapping[str, Any]
    attributes: dict[str, Any]
    closed: bool
    context: Context
    failure: tuple[str, str] | None
    shadowed: OpenSpan | None


def write_open_span(source: Source) -> None:
    """Write the code that makes `open_span`, field by field: a call of an `__init__` would cost more.

    Args:
        source: A function with the variables `span`, `outside`, `outer`, `time`, `metadata` and `known`.
    """
    source.use("span", "outside", "outer", "time", "metadata", "known")
    source.define("open_span")
    source.write(
        """
        open_span = new(OpenSpan)
        open_span.span = span
        open_span.outside = outside
        open_span.outer = outer
        open_span.start_time = time
        open_span.metadata = metadata
        open_span.attributes = known
        open_span.closed = False
        open_span.failure = open_span.shadowed = None
        open_span.context = Context({**outside, span_key: span, open_span_key: open_span})
        """,
        new=object.__new__,
        OpenSpan=OpenSpan,
        Context=Context,
        span_key=SPAN_KEY,
        open_span_key=OPEN_SPAN_KEY,
    )


def write_leave(source: Source) -> None:
    """Write the body of `leave`, for a function with the variable `open_span`."""
    source.use("open_span")
    source.write(
        """
        open_span.closed = True
        current = get_current()
        # Also if a context that was attached inside, and not detached, is current.
        if current is open_span.context or current.get(open_span_key) is open_span:
            previous = open_span.outside
            if open_span.outer is not None and open_span.outer.closed:
                previous = nearest_open(previous)
            attach(previous)  # not by token, which works only in the execution context that attached it
        open_span.context = nowhere  # refers to the open span: a cycle, left to the garbage collector
        """,
        get_current=get_current,
        open_span_key=OPEN_SPAN_KEY,
        nearest_open=nearest_open,
        attach=attach,
        nowhere=_NOWHERE,
    )


def nearest_open(context: Context) -> Context:
    """Return the context with the nearest of our spans that has not ended, in place of one that has.

    Everything else in the context stays: the baggage, and a current span that is not ours.
    """
    ended: OpenSpan | None = context.get(OPEN_SPAN_KEY)  # type: ignore[assignment] # only we set the key
    outside, outer = context, ended
    while outer is not None and outer.closed:
        outside, outer = outer.outside, outer.outer
    if ended is None or outside is context:
        return context
    replaced = {OPEN_SPAN_KEY, SPAN_KEY} if context.get(SPAN_KEY) is ended.span else {OPEN_SPAN_KEY}
    kept = {key: value for key, value in context.items() if key not in replaced}
    return Context({**kept, **{key: outside[key] for key in replaced if key in outside}})


def _compile_leave() -> Callable[[OpenSpan], None]:
    source = Source("leave", "open_span")
    write_leave(source)
    return source.build()


leave = _compile_leave()
"""Restore the context from before a span, if the span is still current: not if it ends in another thread.

Spans may end in another order than they began, so the context before may belong to a span that has ended.
"""


class OpenSpans:
    """The open spans of one event, by `telemetry_span_context`.

    All bridges share them: a bridge that is attached while a span is open ends the span.

    Attributes:
        limit: How many there may be.
        by_key: The spans. Before one is added, `make_room` is called if its key is taken or there are too
            many.
        evicted: Keys of spans that were ended for lack of their end event.
        inherited: In a forked child, the parent's open spans, which the parent ends.
    """

    __slots__ = ("by_key", "evicted", "inherited", "limit")

    def __init__(self) -> None:
        self.limit = OPEN_LIMIT
        self.by_key: dict[Hashable, OpenSpan] = {}
        self.evicted: dict[Hashable, None] = {}
        self.inherited: dict[Hashable, OpenSpan] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def make_room(self, key: Hashable, open_span: OpenSpan) -> None:
        """Shadow the span that has this key until the new one ends; else end the oldest."""
        shadowed = self.by_key.pop(key, None)
        if shadowed is not None:
            open_span.shadowed = shadowed
            return
        try:
            oldest = next(iter(self.by_key))
            evicted = self.by_key.pop(oldest)
        except (StopIteration, KeyError, RuntimeError):  # another thread changed the table meanwhile
            return
        if len(self.evicted) >= EVICTED_LIMIT:
            self.evicted.clear()
        self.evicted[oldest] = None
        evicted.closed = True
        evicted.span.set_status(Status(StatusCode.ERROR, "the event that ends this span was not emitted"))
        evicted.span.end()

    def inherit(self) -> None:
        """Give up all spans: in a forked child they are the parent's to end."""
        self.inherited.update(self.by_key)
        self.by_key.clear()


_by_event: dict[str, OpenSpans] = {}


def open_spans(event: str) -> OpenSpans:
    """Return the open spans of a span's event."""
    return _by_event.setdefault(event, OpenSpans())


def _inherit_after_fork() -> None:
    for spans in _by_event.values():
        spans.inherit()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_inherit_after_fork)
