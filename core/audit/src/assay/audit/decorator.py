"""A decorator that emits an audit record for each call of a function.

    @audited("document.delete", action="DELETE", target=lambda document: document.id)
    def delete(document): ...

The outcome is `success` if the function returns, and `failure` if it raises; then `error.type` is the type of
the exception.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from assay.audit import _default
from assay.audit._acceptance import accept, accept_on_loop
from assay.audit._logger import AuditLogger
from assay.audit.errors import ConfigurationError, RecordError
from assay.audit.record import AuditRecord
from assay.semconv import attributes as keys

P = ParamSpec("P")
R = TypeVar("R")

_logger = logging.getLogger("assay.audit")


def audited(  # noqa: PLR0913 - all but the first are keyword-only
    event_name: str,
    *,
    action: str,
    target: Callable[..., object] | None = None,
    target_type: str = "",
    logger: AuditLogger | None = None,
    fail_closed: bool = False,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that emits a record after each call of a function, synchronous or not.

    The function's result and exceptions stay as they are. The call returns when the record is accepted: on
    disk, with a `DiskQueue`. A synchronous function that an event loop calls does not wait for that, unless
    it fails closed. Do not decorate a synchronous function that returns an awaitable: its record would say
    `success` before anything has happened.

    Args:
        event_name: What happens, such as `document.delete`.
        action: A verb, by convention in upper case, such as `DELETE`.
        target: Returns the target's id from the function's arguments, before the function runs. Arguments
            that are not keyword-only are passed by position.
        target_type: The type of the target.
        logger: Emits the records. None: `get_logger` of the function's module.
        fail_closed: Raise an `AuditError` instead of returning the result when the record is not accepted, so
            that the caller can undo the action. The function does not run if there is no logger, or if
            `target` raises. If the function raises, its own exception is raised. If False, errors are logged,
            and counted in `audit.records.dropped`.

    Raises:
        ConfigurationError: The function is a generator function: when it returns, nothing has happened yet.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigurationError(f"{function.__qualname__} is a generator function: decorate its caller")
        calls = _Calls(
            AuditRecord(event_name=event_name, action=action, outcome="unknown", target_type=target_type),
            None if target is None else _Target(function, target, fail_closed=fail_closed),
            lambda: logger or _default.get_logger(function.__module__),
            fail_closed=fail_closed,
        )
        if inspect.iscoroutinefunction(function):
            asynchronous = calls.of_coroutine_function(cast("Callable[P, Awaitable[Any]]", function))
            return cast("Callable[P, R]", asynchronous)
        return calls.of_function(function)

    return decorate


class _Calls:
    """Emits the records of a function's calls."""

    def __init__(
        self,
        template: AuditRecord,
        target: _Target | None,
        find_logger: Callable[[], AuditLogger],
        *,
        fail_closed: bool,
    ) -> None:
        self._template = template
        self._target = target
        self._find_logger = find_logger
        self._fail_closed = fail_closed

    def of_function(self, function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            record = self._record(args, kwargs)
            try:
                result = function(*args, **kwargs)
            except BaseException as error:
                accept(self._find_logger, _failed(record, error), fail_closed=False)
                raise
            accept(self._find_logger, replace(record, outcome="success"), fail_closed=self._fail_closed)
            return result

        return call

    def of_coroutine_function(self, function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @wraps(function)
        async def call(*args: P.args, **kwargs: P.kwargs) -> R:
            record = self._record(args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except Exception as error:
                await accept_on_loop(self._find_logger, _failed(record, error), fail_closed=False)
                raise
            except BaseException as error:  # a cancelled or closed coroutine must not wait
                accept(self._find_logger, _failed(record, error), fail_closed=False)
                raise
            succeeded = replace(record, outcome="success")
            await accept_on_loop(self._find_logger, succeeded, fail_closed=self._fail_closed)
            return result

        return call

    def _record(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> AuditRecord:
        if self._fail_closed:
            self._find_logger()  # without one, the function does not run
        if self._target is None:
            return self._template
        return replace(self._template, target_id=self._target.id_of(args, kwargs))


class _Target:
    """Finds the target of a call."""

    def __init__(
        self, function: Callable[..., Any], find: Callable[..., object], *, fail_closed: bool
    ) -> None:
        self._signature = inspect.signature(function)
        self._name = function.__qualname__
        self._find = find
        self._fail_closed = fail_closed

    def id_of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
        """Return the target's id, empty for a call that the function does not accept.

        Raises:
            RecordError: It cannot be determined, and the function fails closed: it does not run.
        """
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError:  # the function raises it as well
            return ""
        bound.apply_defaults()
        try:
            return str(self._find(*bound.args, **bound.kwargs))
        except Exception as error:
            if self._fail_closed:
                raise RecordError(f"the target of {self._name} cannot be determined: {error}") from error
            _logger.exception("the target of %s cannot be determined: its record has none", self._name)
            return ""


def _failed(record: AuditRecord, error: BaseException) -> AuditRecord:
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return replace(record, outcome="failure", attributes={keys.ERROR_TYPE: name})
