"""Spans around generators, which Dagster's internals are."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Protocol

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign

from assay.telemetry.ambient import correlation_id


class Operation(Protocol):
    """What is followed: none of its methods raises."""

    def open(self) -> object:
        """Begin, when the generator does."""

    def watch(self, item: Foreign) -> object:
        """See what the generator yields, before its consumer does."""

    def close(self, error: BaseException | None) -> object:
        """End, with what the generator raised if it did."""


class _Surroundings:
    """What is current inside the generator, taken away while its consumer runs.

    Only what telemetry made current: user code's own context variables are left as Dagster leaves them, which
    a context of its own for each generator would not do.
    """

    __slots__ = ("_correlation_id", "_inside", "_outer_correlation_id", "_outside")

    def __init__(self) -> None:
        self._inside: otel_context.Context | None = None
        self._correlation_id: str | None = None

    def enter(self) -> None:
        self._outside = otel_context.get_current()
        self._outer_correlation_id = correlation_id.get()
        if self._inside is not None:
            otel_context.attach(self._inside)
            correlation_id.set(self._correlation_id)

    def leave(self) -> None:
        self._inside = otel_context.get_current()
        self._correlation_id = correlation_id.get()
        otel_context.attach(self._outside)
        correlation_id.set(self._outer_correlation_id)


def follow(generator: Iterator[Any], operation: Operation) -> Generator[Any, None, None]:
    """Yield what `generator` yields; the operation is current while it runs, and only then."""
    surroundings = _Surroundings()
    surroundings.enter()
    operation.open()
    while True:
        try:
            item = next(generator)
        except StopIteration:
            operation.close(None)
            surroundings.leave()
            return
        except BaseException as error:
            operation.close(error)
            surroundings.leave()
            raise
        operation.watch(item)
        surroundings.leave()
        try:
            yield item
        except BaseException as thrown:
            # Only GeneratorExit comes this way: Dagster throws nothing into its generators.
            surroundings.enter()
            _close(generator)
            operation.close(thrown)
            surroundings.leave()
            raise
        surroundings.enter()


def _close(generator: Iterator[Any]) -> None:
    if isinstance(generator, Generator):
        generator.close()
