"""The spans that are open, and what is current in the meantime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context, create_key
from opentelemetry.trace import Span, Status, StatusCode

from assay.telemetry.runtime import SPAN_KEY, attach, get_current
from assay.telemetry.source import Source

OPEN_LIMIT = 10_000
"""Spans that may be open at once; beyond it the oldest is taken to have lost its end."""

OPENED_KEY = create_key("assay-opened")

_NOWHERE = Context()


class Opened:
    """One open span.

    Attributes:
        span: The span.
        outside: What was current before.
        outer: The open span of ours in that.
        start_time: Unix time in nanoseconds.
        metadata: What the event that started it carried.
        attributes: What the span got from that.
        closed: It has ended.
        context: The context in which it is current.
    """

    __slots__ = ("attributes", "closed", "context", "metadata", "outer", "outside", "span", "start_time")

    span: Span
    outside: Context
    outer: Opened | None
    start_time: int
    metadata: Mapping[str, Any]
    attributes: dict[str, Any]
    closed: bool
    context: Context


def write_opened(source: Source) -> None:
    """Write what makes `opened`, field by field: the call of an `__init__` would cost more than they do.

    Args:
        source: A function that knows `span`, `outside`, `outer`, `time`, `metadata` and `known`.
    """
    source.write(
        """
        opened = new(Opened)
        opened.span = span
        opened.outside = outside
        opened.outer = outer
        opened.start_time = time
        opened.metadata = metadata
        opened.attributes = known
        opened.closed = False
        opened.context = Context({**outside, span_key: span, opened_key: opened})
        """,
        new=object.__new__,
        Opened=Opened,
        Context=Context,
        span_key=SPAN_KEY,
        opened_key=OPENED_KEY,
    )


def write_leaving(source: Source) -> None:
    """Write what `leave` does, in a function that knows `opened`."""
    source.write(
        """
        opened.closed = True
        if get_current() is opened.context:
            opened.context = nowhere  # its own holds it: a cycle, left to the garbage collector
            previous = opened.outside
            if opened.outer is not None and opened.outer.closed:
                previous = living(previous)
            attach(previous)  # not by token, which works only in the execution context that attached it
        """,
        get_current=get_current,
        nowhere=_NOWHERE,
        living=living,
        attach=attach,
    )


def living(context: Context) -> Context:
    """Return the context, or the nearest outside of it whose span has not ended."""
    opened: Opened | None = context.get(OPENED_KEY)  # type: ignore[assignment] # only we put it there
    while opened is not None and opened.closed and context is opened.context:
        context, opened = opened.outside, opened.outer
    return context


def _compile_leave() -> Callable[[Opened], None]:
    source = Source("leave", "opened")
    write_leaving(source)
    return source.build()


leave = _compile_leave()
"""Makes current again what was so before a span, if the span still is: not where it ends in another thread.

Spans may end in another order than they began: what was current before may have ended since.
"""


class OpenSpans:
    """Open spans by their `telemetry_span_context`.

    Attributes:
        limit: How many there may be.
        by_key: The spans. Who adds one calls `make_room` before, if its key is taken or there are too many.
    """

    __slots__ = ("by_key", "limit")

    def __init__(self) -> None:
        self.limit = OPEN_LIMIT
        self.by_key: dict[Any, Opened] = {}

    def __len__(self) -> int:
        return len(self.by_key)

    def make_room(self, key: object) -> None:
        """Give up the span that has this key, else the oldest."""
        _lose(self.by_key.pop(key, None) or self._oldest())

    def clear(self) -> None:
        """Forget all: in a forked child they are the parent's to end."""
        self.by_key.clear()

    def abandon(self) -> None:
        """Forget all, and make none current in this thread any more."""
        for opened in reversed(list(self.by_key.values())):
            leave(opened)
        self.by_key.clear()

    def _oldest(self) -> Opened | None:
        try:
            return self.by_key.pop(next(iter(self.by_key)))
        except (StopIteration, KeyError, RuntimeError):  # another thread changed the table meanwhile
            return None


def _lose(opened: Opened | None) -> None:
    if opened is not None:
        opened.closed = True
        opened.span.set_status(Status(StatusCode.ERROR, "the event that ends this span never came"))
        opened.span.end()
