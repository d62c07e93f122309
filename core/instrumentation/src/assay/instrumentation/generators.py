"""Operations that last as long as a generator, or an asynchronous generator, of the library.

`follow` and `follow_async` start the operation when the generator is first asked for an item, and end it with
the generator. The operation's span, baggage and correlation id are current while the generator runs, and not
while its consumer runs. The program's own context variables are left alone; a separate context for each
generator would isolate them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from types import TracebackType
from typing import Any, Protocol, cast

from opentelemetry.context import Context

from assay.instrumentation.foreign import Foreign
from assay.instrumentation.guard import guarded
from assay.telemetry.ambient import attach_context, correlation_id, current_context


class Followed(Protocol):
    """An operation that follows a generator. Exceptions of its methods are logged and do not propagate."""

    def start(self) -> object:
        """Start, before the generator is asked for its first item."""

    def item(self, item: Foreign) -> object:
        """Take note of an item, before the generator's consumer gets it."""

    def end(self, error: BaseException | None) -> object:
        """End, with the exception that ended the generator; `GeneratorExit` if it was closed early."""


class _Surroundings:
    """The OpenTelemetry context and the correlation id inside the generator, and those outside of it."""

    __slots__ = ("_inside", "_inside_id", "_outside", "_outside_id")

    def __init__(self) -> None:
        self._inside: Context | None = None
        self._inside_id: str | None = None
        self._outside = Context()
        self._outside_id: str | None = None

    def __enter__(self) -> None:
        self._outside = current_context()
        self._outside_id = correlation_id.get()
        if self._inside is not None:
            attach_context(self._inside)
            correlation_id.set(self._inside_id)

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside = current_context()
        self._inside_id = correlation_id.get()
        # Not by token: a generator may be closed in another execution context than it started in.
        attach_context(self._outside)
        correlation_id.set(self._outside_id)


def follow(generator: Iterator[Any], operation: Followed) -> Generator[Any, Any, Any]:
    """Return a generator that yields the items of `generator`, with an operation around it.

    Args:
        generator: A generator, or a plain iterator. Values and exceptions that are sent into the result reach
            it, and the result returns its return value.
        operation: Starts with the first item and ends with the generator.
    """
    start, note, end = guarded(operation.start), guarded(operation.item), guarded(operation.end)
    surroundings = _Surroundings()
    step: Callable[[], Any] = generator.__next__
    with surroundings:
        start()
    while True:
        with surroundings:
            try:
                item = step()
            except StopIteration as stop:
                end(None)
                return stop.value
            except BaseException as error:
                end(error)
                raise
            note(item)
        try:
            step = _next_step(generator, (yield item))
        except BaseException as thrown:  # noqa: BLE001 - the generator gets every exception
            step = _throw(generator, thrown)


async def follow_async(generator: AsyncIterator[Any], operation: Followed) -> AsyncGenerator[Any, Any]:
    """Return an asynchronous generator with an operation around it, as `follow` does for a generator."""
    start, note, end = guarded(operation.start), guarded(operation.item), guarded(operation.end)
    surroundings = _Surroundings()
    step: Callable[[], Any] = generator.__anext__
    with surroundings:
        start()
    while True:
        with surroundings:
            try:
                item = await step()
            except StopAsyncIteration:
                end(None)
                return
            except BaseException as error:
                end(error)
                raise
            note(item)
        try:
            step = _next_async_step(generator, (yield item))
        except BaseException as thrown:  # noqa: BLE001 - as above
            step = _throw_async(generator, thrown)


def _next_step(generator: Iterator[Any], sent: Foreign) -> Callable[[], Any]:
    if sent is None:
        return generator.__next__
    return lambda: cast("Generator[Any, Any, Any]", generator).send(sent)


def _throw(generator: Iterator[Any], thrown: BaseException) -> Callable[[], Any]:
    """Return a function that throws an exception into a generator, or raises it for a plain iterator."""

    def throw() -> Foreign:
        if hasattr(generator, "throw"):
            return cast("Generator[Any, Any, Any]", generator).throw(thrown)
        raise thrown

    return throw


def _next_async_step(generator: AsyncIterator[Any], sent: Foreign) -> Callable[[], Any]:
    if sent is None:
        return generator.__anext__
    return lambda: cast("AsyncGenerator[Any, Any]", generator).asend(sent)


def _throw_async(generator: AsyncIterator[Any], thrown: BaseException) -> Callable[[], Any]:
    async def throw() -> Foreign:
        if hasattr(generator, "athrow"):
            return await cast("AsyncGenerator[Any, Any]", generator).athrow(thrown)
        raise thrown

    return throw
