"""The event `alumiini.error`, the failures of syncs, and the exceptions of this package."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from typing import Literal, NamedTuple

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.telemetry import execute
from assay.telemetry.spans import qualified_name

TIMEOUTS = ("git_timeout", "timeout")
"""Types of errors whose outcome is `timeout`."""

_GIT_ERROR, _PARSE_ERROR, _APPLY_ERROR = "git_error", "parse_error", "apply_error"
_TYPES_BY_MODULE = {
    "git": _GIT_ERROR,
    "yaml": _PARSE_ERROR,
    "ruamel": _PARSE_ERROR,
    "json": _PARSE_ERROR,
    "tomllib": _PARSE_ERROR,
    "tomli": _PARSE_ERROR,
    "kubernetes": _APPLY_ERROR,
    "kubernetes_asyncio": _APPLY_ERROR,
}
"""The first part of the module of an exception's class, and what such an exception means for a sync."""


_KOPF_TYPES = {"PermanentError": "permanent_error", "TemporaryError": "temporary_error"}
"""kopf's exceptions of a program that gives no other cause."""


class AlumiiniError(Exception):
    """Base of this package's exceptions."""


class EventError(AlumiiniError, ValueError):
    """The values do not make an event."""


class Failure(NamedTuple):
    """Meaning of an exception.

    Args:
        type: Type of the error for a sync, such as `git_error`.
        detail: The kind of failure below it, such as `git_timeout`; empty if it is not known.
        message: Message, without what must not leave.
    """

    type: str
    detail: str
    message: str


def error(
    type: str,  # noqa: A002 - the event's name for it
    message: str,
    *,
    repository: Repository | str | None = None,
) -> None:
    """Emit an error.

    Args:
        type: Type of the error, such as `git_timeout`; a label of the series.
        message: Message of the error.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    about = as_repository(repository)
    values = {
        "repo_name": about.name,
        "repo_url": about.url,
        "branch": about.branch,
        "commit": about.commit,
        "path": about.path,
        "error_type": type,
        "message": message,
    }
    execute("alumiini.error", None, {key: value for key, value in values.items() if value is not None})


def as_repository(repository: Repository | str | None) -> Repository:
    """Return a repository that is given by its name, or not at all: that of the sync in progress."""
    if repository is None:
        return _scope.repository_in_scope()
    return Repository(repository) if isinstance(repository, str) else repository


def report(failed: object, failure: Failure, repository: Repository) -> None:
    """Emit an error that ends an operation, and note its meaning for the sync in progress.

    Args:
        failed: The exception. For an operation that returned its failure: the `headers` of the exception
            that the library will raise for it, or None.
        failure: Its meaning; its detail is the type of the emitted error, else its type.
        repository: The repository.
    """
    scope = _scope.current.get()
    if scope is not None:
        if isinstance(failed, BaseException) and find_reported(scope, failed) is not None:
            return
        if failed is not None:
            scope.failures.append((failed, failure))
    error(failure.detail or failure.type, failure.message, repository=repository)


def find_reported(scope: _scope.Scope, failed: BaseException) -> Failure | None:
    """Return the meaning that was reported in a sync for an exception, or for one of its causes."""
    for cause in _causes(failed):
        for reported, failure in scope.failures:
            if reported is cause or reported is getattr(cause, "headers", cause):
                return failure
    return None


def failure_of_sync(failed: BaseException) -> Failure:
    """Return what an exception that nobody reported means for a sync: by the library that raised it."""
    for cause in _causes(failed):
        for kind in type(cause).__mro__:
            found = _TYPES_BY_MODULE.get(kind.__module__.partition(".")[0])
            if found is not None:
                return Failure(found, "", message_of(failed))
    for kind in type(failed).__mro__:
        if kind.__module__.startswith("kopf.") and kind.__name__ in _KOPF_TYPES:
            return Failure(_KOPF_TYPES[kind.__name__], "", message_of(failed))
    return Failure(qualified_name(type(failed)), "", message_of(failed))


def message_of(failed: BaseException) -> str:
    """Return the message of an exception; of a Kubernetes client's, only status and reason.

    The rest of an `ApiException` is the API server's answer, which quotes the manifest.
    """
    if any(kind.__name__ == "ApiException" for kind in type(failed).__mro__):
        return f"{getattr(failed, 'status', '')} {getattr(failed, 'reason', '')}".strip()
    return str(failed)


def description(failed: BaseException, message: str) -> dict[str, str]:
    """Return reason and stack trace of an exception for a span, with this message instead of its own.

    Args:
        failed: The exception. The messages of its causes are left out.
        message: The message.
    """
    frames = "".join(traceback.format_tb(failed.__traceback__))
    head = f"Traceback (most recent call last):\n{frames}" if frames else ""
    return {"reason": message, "stacktrace": f"{head}{qualified_name(type(failed))}: {message}\n"}


def is_failure(raised: BaseException | None) -> bool:
    """Return whether an exception that leaves a block is a failure, rather than a usual end."""
    if raised is None or isinstance(raised, (GeneratorExit, StopIteration, StopAsyncIteration)):
        return False
    return not (isinstance(raised, SystemExit) and raised.code in {None, 0})


def outcome_of(raised: BaseException, detail: str) -> Literal["failure", "timeout", "unknown"]:
    """Return the outcome of an operation that an exception ended.

    Args:
        raised: The exception.
        detail: The finest type of the error that is known.
    """
    if is_cancellation(raised):
        return "unknown"
    return "timeout" if is_timeout(raised) or detail in TIMEOUTS else "failure"


def is_timeout(raised: BaseException) -> bool:
    """Return whether an exception is a timeout."""
    return isinstance(raised, TimeoutError) or "Timeout" in type(raised).__name__


def is_cancellation(raised: BaseException) -> bool:
    """Return whether an exception cancels a task: `asyncio`'s, `trio`'s or `anyio`'s."""
    return not isinstance(raised, Exception) and type(raised).__name__ in {"CancelledError", "Cancelled"}


def _causes(failed: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    seen: set[int] = set()
    cause: BaseException | None = failed
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
