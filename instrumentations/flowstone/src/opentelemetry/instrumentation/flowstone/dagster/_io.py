"""IO managers: `flowstone.io.load.*` and `flowstone.io.store.*`, measured around the manager's own code."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster._names import name_of_input, name_of_output, partition_of
from opentelemetry.instrumentation.flowstone.dagster._sizes import paths_of, size_of_value, size_on_disk
from opentelemetry.instrumentation.flowstone.dagster._step_span import Step
from opentelemetry.instrumentation.flowstone.dagster._steps import Steps
from opentelemetry.instrumentation.flowstone.io import io_load, io_store

from assay.instrumentation import Call, Foreign, follow, guarded
from assay.telemetry import Span

_current = threading.local()
"""The transfer that is under way in each thread."""


class Transfer:
    """One load or store.

    Args:
        span: The span, not yet started.
        size: Returns the bytes moved, or None if they are unknown; called when the manager has succeeded.
        io_manager: Resource key of the IO manager.
        step: The step that loads or stores, if it is instrumented.

    Attributes:
        paths: The files that a `UPathIOManager` has chosen for it.
    """

    def __init__(
        self, span: Span, size: Callable[[Transfer], int | None], io_manager: str, step: Step | None
    ) -> None:
        self._span = span
        self._size = size
        self._io_manager = io_manager
        self._step = step
        self._outer: Transfer | None = None
        self.paths: list[Any] = []

    @guarded
    def start(self) -> None:
        """Start the span."""
        self._span.__enter__()
        self._outer = getattr(_current, "transfer", None)
        _current.transfer = self

    def item(self, item: object) -> None:
        """Ignore the items of a generator."""

    @guarded
    def end(self, error: BaseException | None) -> None:
        """End the span, with the exception that the manager raised."""
        _current.transfer = self._outer
        if error is not None:
            if self._step is not None:
                self._step.failed_io = self._io_manager
            self._span.__exit__(type(error), error, error.__traceback__)
            return
        size = _measured(self._size, self)
        if size is not None:
            self._span.measurements["size_bytes"] = size
        self._span.__exit__(None, None, None)


class Loader:
    """Takes the place of an input manager for one load.

    Args:
        manager: The input manager.
        steps: The steps that run.
    """

    def __init__(self, manager: Foreign, steps: Steps) -> None:
        self._manager = manager
        self._steps = steps

    def load_input(self, context: Foreign) -> Foreign:
        """Load a value inside a span."""
        values: list[Foreign] = []
        transfer = _begin(
            io_load,
            name_of_input,
            self._manager,
            context,
            lambda transfer: _size(transfer, self._manager, context, values[0]),
            self._steps.of(context.step_context),
        )
        if transfer is None:
            return self._manager.load_input(context)
        transfer.start()
        try:
            value = self._manager.load_input(context)
        except BaseException as error:
            transfer.end(error)
            raise
        values.append(value)
        transfer.end(None)
        return value


class Storer:
    """Takes the place of an IO manager for one store.

    Args:
        manager: The IO manager.
        step: The step that made the value, if it is instrumented.
    """

    def __init__(self, manager: Foreign, step: Step | None) -> None:
        self._manager = manager
        self._step = step

    def handle_output(self, context: Foreign, value: Foreign) -> Foreign:
        """Store a value inside a span."""
        transfer = self._begin(context, value)
        if transfer is None:
            return self._manager.handle_output(context, value)
        transfer.start()
        try:
            result = self._manager.handle_output(context, value)
        except BaseException as error:
            transfer.end(error)
            raise
        transfer.end(None)
        return result

    def _begin(self, context: Foreign, value: Foreign) -> Transfer | None:
        def size(transfer: Transfer) -> int | None:
            stored = _size(transfer, self._manager, context, value)
            if self._step is not None and stored is not None:
                self._step.sizes[name_of_output(context)] = stored
            return stored

        return _begin(io_store, name_of_output, self._manager, context, size, self._step)


class GeneratorStorer(Storer):
    """The same for a manager whose `handle_output` is a generator function; Dagster inspects it."""

    def handle_output(self, context: Foreign, value: Foreign) -> Generator[Any, None, None]:
        """Store a value inside a span."""
        transfer = self._begin(context, value)
        generator = self._manager.handle_output(context, value)
        yield from generator if transfer is None else follow(generator, transfer)


class Transfers:
    """The wrappers of Dagster's functions that use IO managers.

    Args:
        steps: The steps that run.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._storing = threading.local()

    def load(self, call: Call) -> Foreign:
        """Wrap `_load_input_with_input_manager`, which uses nothing of the manager but `load_input`."""
        call.replace("input_manager", Loader(call.argument("input_manager"), self._steps))
        return call()

    def store(self, call: Call) -> Foreign:
        """Wrap `_store_output`: the first manager that it gets from the step is the one that stores."""
        return self._announced(call(), call.argument("step_context"))

    def is_storing(self, instance: Foreign, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
        """Return whether `_store_output` calls `StepExecutionContext.get_io_manager`."""
        del args, kwargs
        return getattr(self._storing, "context", None) is instance

    def manager(self, call: Call) -> Foreign:
        """Wrap `StepExecutionContext.get_io_manager`; callers that do not store get the manager itself."""
        manager = call()
        self._storing.context = None
        is_generator = inspect.isgeneratorfunction(manager.handle_output)
        return (GeneratorStorer if is_generator else Storer)(manager, self._steps.of(call.instance))

    @staticmethod
    def path(call: Call) -> Foreign:
        """Wrap `UPathIOManager._get_path`: a second call may return another path, and takes as long."""
        path = call()
        _note([path])
        return path

    @staticmethod
    def paths(call: Call) -> Foreign:
        """Wrap `UPathIOManager._get_paths_for_partitions`, for the same reason."""
        paths = call()
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
def _begin(  # noqa: PLR0913, PLR0917 - one for each part of a transfer
    make: Callable[..., Span],
    name_of: Callable[[Foreign], str],
    manager: Foreign,
    context: Foreign,
    size: Callable[[Transfer], int | None],
    step: Step | None,
) -> Transfer:
    step_context = context.step_context
    io_manager = _key_of(manager, step_context)
    span = make(
        name_of(context),
        io_manager,
        partition=partition_of(context),
        run_id=step_context.run_id,
    )
    return Transfer(span, size, io_manager, step)


@guarded
def _measured(size: Callable[[Transfer], int | None], transfer: Transfer) -> int | None:
    return size(transfer)


def _note(paths: Iterable[Foreign]) -> None:
    transfer = getattr(_current, "transfer", None)
    if transfer is not None:
        transfer.paths.extend(paths)


def _size(transfer: Transfer, manager: Foreign, context: Foreign, value: Foreign) -> int | None:
    paths = transfer.paths or paths_of(manager, context)
    size = size_on_disk(paths) if paths else None
    return size_of_value(value) if size is None else size


def _key_of(manager: object, step_context: Foreign) -> str:
    """Return the resource key of a manager in its project; its class's name if it has none."""
    for key, resource in step_context.resources._asdict().items():
        if resource is manager:
            return str(key)
    return type(manager).__name__
