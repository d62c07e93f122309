"""IO managers: `flowstone.io.load.*` and `flowstone.io.store.*`, measured around the manager's own code."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster.following import follow
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.names import (
    name_of_input,
    name_of_output,
    partition_of,
)
from opentelemetry.instrumentation.flowstone.dagster.sizes import paths_of, size_of_value, size_on_disk
from opentelemetry.instrumentation.flowstone.dagster.steps import Step, Steps
from opentelemetry.instrumentation.flowstone.io import io_load, io_store
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry import Span

_moving = threading.local()
"""In each thread: the transfer that is under way."""


class Transfer:
    """One load or store.

    Args:
        span: Not yet begun.

    Attributes:
        paths: The files that a `UPathIOManager` has chosen for it.
    """

    def __init__(self, span: Span) -> None:
        self._span = span
        self._outer: Transfer | None = None
        self.paths: list[Any] = []

    @guarded
    def open(self) -> None:
        """Begin the span."""
        self._span.__enter__()
        self._outer = getattr(_moving, "transfer", None)
        _moving.transfer = self

    def watch(self, item: object) -> None:
        """See an event that a generator yields; there is nothing to tell of it."""

    @guarded
    def close(self, error: BaseException | None, size: int | None = None) -> None:
        """End the span.

        Args:
            error: What the manager raised.
            size: Bytes moved.
        """
        _moving.transfer = self._outer
        if size is not None:
            self._span.measurements["size_bytes"] = size
        if error is None:
            self._span.__exit__(None, None, None)
        else:
            self._span.__exit__(type(error), error, error.__traceback__)


class Loader:
    """Stands before an input manager for one load.

    Args:
        manager: The input manager.
    """

    def __init__(self, manager: Foreign) -> None:
        self._manager = manager

    def load_input(self, context: Foreign) -> Foreign:
        """Load, and tell of it."""
        transfer = _begin(io_load, name_of_input, self._manager, context)
        if transfer is None:
            return self._manager.load_input(context)
        transfer.open()
        try:
            value = self._manager.load_input(context)
        except BaseException as error:
            transfer.close(error)
            raise
        transfer.close(None, _size(transfer, self._manager, context, value))
        return value


class Storer:
    """Stands before an IO manager for one store.

    Args:
        manager: The IO manager.
        step: The step that made the value, if it is followed.
    """

    def __init__(self, manager: Foreign, step: Step | None) -> None:
        self._manager = manager
        self._step = step

    def handle_output(self, context: Foreign, value: Foreign) -> Foreign:
        """Store, and tell of it."""
        transfer = _begin(io_store, name_of_output, self._manager, context)
        if transfer is None:
            return self._manager.handle_output(context, value)
        transfer.open()
        try:
            result = self._manager.handle_output(context, value)
        except BaseException as error:
            transfer.close(error)
            raise
        self._end(transfer, context, value)
        return result

    def _end(self, transfer: Transfer, context: Foreign, value: Foreign) -> None:
        size = _size(transfer, self._manager, context, value)
        transfer.close(None, size)
        if self._step is not None and size is not None:
            self._step.size = (self._step.size or 0) + size


class GeneratorStorer(Storer):
    """The same for a manager whose `handle_output` is a generator function: Dagster looks, with `inspect`."""

    def handle_output(self, context: Foreign, value: Foreign) -> Generator[Any, None, None]:
        """Store, and tell of it."""
        transfer = _begin(io_store, name_of_output, self._manager, context)
        generator = self._manager.handle_output(context, value)
        if transfer is None:
            yield from generator
            return
        yield from follow(generator, _SizedAtEnd(transfer, lambda: self._end(transfer, context, value)))


class _SizedAtEnd(Transfer):
    """A transfer through a generator: its size is taken when it is done."""

    def __init__(self, transfer: Transfer, end: Callable[[], None]) -> None:
        self._transfer = transfer
        self._end = end

    def open(self) -> None:
        self._transfer.open()

    def close(self, error: BaseException | None, size: int | None = None) -> None:
        if error is None:
            self._end()
        else:
            self._transfer.close(error, size)


class Transfers:
    """Wrappers of what Dagster does with IO managers.

    Args:
        steps: The steps that run.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._storing = threading.local()

    def load(
        self, wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `_load_input_with_input_manager`, which calls nothing of the manager but `load_input`."""
        if not is_instrumentation_enabled() or not args:
            return wrapped(*args, **kwargs)
        return wrapped(Loader(args[0]), *args[1:], **kwargs)

    def store(
        self, wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `_store_output`: the manager that it asks the step for first is the one that stores."""
        if not is_instrumentation_enabled():
            return wrapped(*args, **kwargs)
        return self._announced(wrapped(*args, **kwargs), args[0] if args else kwargs.get("step_context"))

    def manager(
        self,
        wrapped: Callable[..., Any],
        instance: Foreign,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Foreign:
        """Wrap `StepExecutionContext.get_io_manager`, which others call too: they get the manager itself."""
        manager = wrapped(*args, **kwargs)
        if getattr(self._storing, "context", None) is not instance:
            return manager
        self._storing.context = None
        is_generator = inspect.isgeneratorfunction(manager.handle_output)
        return (GeneratorStorer if is_generator else Storer)(manager, self._steps.of(instance))

    @staticmethod
    def path(
        wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `UPathIOManager._get_path`: asked a second time it may choose another, and takes as long."""
        path = wrapped(*args, **kwargs)
        _note([path])
        return path

    @staticmethod
    def paths(
        wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        """Wrap `UPathIOManager._get_paths_for_partitions`, for the same reason."""
        paths = wrapped(*args, **kwargs)
        _note(paths.values())
        return paths

    def _announced(self, generator: Foreign, context: object) -> Foreign:
        self._storing.context = context
        try:
            first = next(generator, self)
        finally:
            self._storing.context = None
        if first is not self:
            yield first
            yield from generator


@guarded
def _begin(
    make: Callable[..., Span], name_of: Callable[[Foreign], str], manager: Foreign, context: Foreign
) -> Transfer:
    step_context = context.step_context
    return Transfer(
        make(
            name_of(context),
            _key_of(manager, step_context),
            partition=partition_of(context),
            run_id=step_context.run_id,
        )
    )


@guarded
def _note(paths: Iterable[Foreign]) -> None:
    transfer = getattr(_moving, "transfer", None)
    if transfer is not None:
        transfer.paths.extend(paths)


@guarded
def _size(transfer: Transfer, manager: Foreign, context: Foreign, value: Foreign) -> int | None:
    paths = transfer.paths or paths_of(manager, context)
    size = size_on_disk(paths) if paths else None
    return size_of_value(value) if size is None else size


def _key_of(manager: object, step_context: Foreign) -> str:
    """Return the resource key by which the project knows a manager; its class, where it has none."""
    for key, resource in step_context.resources._asdict().items():
        if resource is manager:
            return str(key)
    return type(manager).__name__
