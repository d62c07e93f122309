"""The spans that are open, and what is current in the meantime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, Status, StatusCode

OPEN_LIMIT = 10_000
"""Spans that may be open at once; beyond it the oldest is taken to have lost its end."""

OPENED_KEY = otel_context.create_key("assay-opened")
# The key under which the API keeps the current span, asked of the API itself: saves a copy of the context.
_SPAN_KEY = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))

_NOWHERE = Context()


class Opened:
    """One open span.

    Attributes:
        span: The span.
        metadata: What the event that started it carried.
        attributes: What the span got from that.
        context: The context in which it is current.
        start_time: Unix time in nanoseconds.
    """

    __slots__ = ("_outer", "_previous", "attributes", "closed", "context", "metadata", "span", "start_time")

    def __init__(
        self,
        span: Span,
        outside: Context,
        start_time: int,
        metadata: Mapping[str, Any],
        attributes: dict[str, Any],
    ) -> None:
        self.span = span
        self.start_time = start_time
        self.metadata = metadata
        self.attributes = attributes
        self.closed = False
        self._previous = outside
        self._outer: Opened | None = outside.get(OPENED_KEY)  # type: ignore[assignment] # only we put it there
        self.context = Context({**outside, _SPAN_KEY: span, OPENED_KEY: self})

    def leave(self) -> None:
        """Make current again what was so before, if the span still is: not where it ends in another thread.

        Spans may end in another order than they began: what was current before may have ended since.
        """
        self.closed = True
        if otel_context.get_current() is not self.context:
            return
        self.context = _NOWHERE  # its own holds this object: a cycle, left to the garbage collector
        previous, outer = self._previous, self._outer
        if outer is not None and outer.closed:
            previous = living(previous)
        # Not by token: it only works in the execution context that attached it.
        otel_context.attach(previous)


def living(context: Context) -> Context:
    """Return the context, or the nearest outside of it whose span has not ended."""
    opened: Opened | None = context.get(OPENED_KEY)  # type: ignore[assignment] # only we put it there
    while opened is not None and opened.closed and context is opened.context:
        context, opened = opened._previous, opened._outer  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
    return context


class OpenSpans:
    """Open spans by their `telemetry_span_context`, at most `OPEN_LIMIT`.

    Attributes:
        take: Given a key and None, returns the open span of that key and forgets it.
    """

    __slots__ = ("_by_key", "take")

    def __init__(self) -> None:
        self._by_key: dict[Any, Opened] = {}
        self.take = self._by_key.pop  # the method itself: called for each span

    def __len__(self) -> int:
        return len(self._by_key)

    def add(self, key: object, opened: Opened) -> None:
        """Keep a span until `take`."""
        if key in self._by_key:
            _lose(self._by_key.pop(key, None))
        elif len(self._by_key) >= OPEN_LIMIT:
            _lose(self._oldest())
        self._by_key[key] = opened

    def clear(self) -> None:
        """Forget all: in a forked child they are the parent's to end."""
        self._by_key.clear()

    def abandon(self) -> None:
        """Forget all, and make none current in this thread any more."""
        for opened in reversed(list(self._by_key.values())):
            opened.leave()
        self._by_key.clear()

    def _oldest(self) -> Opened | None:
        try:
            return self._by_key.pop(next(iter(self._by_key)))
        except (StopIteration, KeyError, RuntimeError):  # another thread changed the table meanwhile
            return None


def _lose(opened: Opened | None) -> None:
    if opened is not None:
        opened.closed = True
        opened.span.set_status(Status(StatusCode.ERROR, "the event that ends this span never came"))
        opened.span.end()
