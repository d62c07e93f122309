"""Git operations: the span `alumiini.git`, the events `alumiini.git_cloned` and `alumiini.git_fetched`."""

from __future__ import annotations

from time import monotonic_ns
from types import TracebackType
from typing import Literal, TypeAlias

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.errors import (
    TIMEOUTS,
    Failure,
    description,
    is_failure,
    is_timeout,
    report,
)
from opentelemetry.instrumentation.alumiini.events import described, emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.instrumentation import Hook, Operation
from assay.telemetry import Span, execute
from assay.telemetry.spans import qualified_name

GitAction: TypeAlias = Literal["clone", "fetch", "pull", "push", "checkout", "ls_remote"]

GIT_ERROR = "git_error"


class GitOperation:
    """A git operation on a repository; a context manager.

    If an exception leaves the block, the operation has failed, and the exception propagates.

    Args:
        operation: The operation.
        repository: What is known of the repository; None: that of the sync in progress.
        details: Objects for the hooks of an adapter.
        request_hook: Called when the span has started.
        response_hook: Called before it ends.
    """

    def __init__(
        self,
        operation: GitAction,
        repository: Repository | None = None,
        *,
        details: tuple[object, ...] = (),
        request_hook: Hook | None = None,
        response_hook: Hook | None = None,
    ) -> None:
        self._repository = self._known_at_start = _scope.repository_in_scope(repository)
        self._span = Span("alumiini.git", operation=operation, **described(self._repository))
        self._operation = Operation(
            self._span, *details, request_hook=request_hook, response_hook=response_hook
        )
        self._detail = ""

    @property
    def repository(self) -> Repository:
        """The repository."""
        return self._repository

    @property
    def duration_ns(self) -> int:
        """Time since the operation started, in nanoseconds."""
        return monotonic_ns() - self._begun

    def learn(self, found: Repository) -> None:
        """Note what the operation has found out about the repository, also for the sync in progress."""
        self._repository = _learned(found)

    def cloned(self) -> None:
        """Emit `alumiini.git_cloned`."""
        git_cloned(self._repository, duration_ns=self.duration_ns)

    def fetched(self, *, commit: str | None = None, branch: str | None = None) -> None:
        """Emit `alumiini.git_fetched`: the operation has fetched a revision that was not here before.

        Args:
            commit: The new revision.
            branch: The branch that it is on.
        """
        mine = self._repository
        self.learn(Repository(mine.name, mine.url, branch or mine.branch, commit or mine.commit))
        git_fetched(self._repository, duration_ns=self.duration_ns)

    def fail(self, message: str, detail: str = GIT_ERROR) -> None:
        """End the operation as failed although nothing is raised.

        Args:
            message: Message of the error.
            detail: Type of the error, such as `git_conflict`.
        """
        self._span.fail(message, detail)
        self._span.metadata.update(_failed(detail, message))
        report(None, Failure(GIT_ERROR, detail, message), self._repository)

    def explain(self, detail: str) -> None:
        """Set the type of the error that is about to leave the block, such as `git_timeout`."""
        self._detail = detail

    def respond(self, result: object) -> None:
        """Set the result for the response hook."""
        self._operation.result = result

    def __enter__(self) -> GitOperation:  # noqa: PYI034 - typing.Self is not in 3.10
        """Emit `alumiini.git.start`."""
        self._begun = monotonic_ns()
        self._operation.__enter__()
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Emit `alumiini.git.stop` or `.exception`."""
        try:
            if exception is not None and is_failure(exception):
                detail = self._detail or ("git_timeout" if is_timeout(exception) else GIT_ERROR)
                self._span.metadata.update(_failed(detail, str(exception)))
                report(exception, Failure(GIT_ERROR, detail, str(exception)), self._repository)
            if self._repository != self._known_at_start:
                self._span.metadata.update(described(self._repository))
        finally:
            self._operation.__exit__(exception_type, exception, trace)


git_operation = GitOperation


def git_cloned(repository: Repository | None = None, *, duration_ns: int | None = None) -> None:
    """Emit `alumiini.git_cloned`: the initial clone of a repository succeeded.

    Args:
        repository: The repository; None: that of the sync in progress.
        duration_ns: Duration of the clone, in nanoseconds.
    """
    emit("git_cloned", envelope(_learned(repository)), duration_ns=duration_ns)


def git_fetched(repository: Repository | None = None, *, duration_ns: int | None = None) -> None:
    """Emit `alumiini.git_fetched`: a revision was fetched that was not here before.

    Args:
        repository: The repository, with the new revision; None: that of the sync in progress.
        duration_ns: Duration of the fetch, in nanoseconds.
    """
    emit("git_fetched", envelope(_learned(repository)), duration_ns=duration_ns)


def git_operation_ended(
    operation: GitAction,
    repository: Repository | None,
    *,
    duration_ns: int,
    error: BaseException | None = None,
    detail: str = GIT_ERROR,
) -> None:
    """Emit a git operation that has run beside the program, such as a process that was waited for later.

    Args:
        operation: The operation.
        repository: What is known of the repository; None: that of the sync in progress.
        duration_ns: Its duration, in nanoseconds.
        error: The exception that it ended with.
        detail: Type of the error.
    """
    about = _scope.repository_in_scope(repository)
    metadata: dict[str, object] = {"operation": operation, **described(about)}
    if error is None:
        execute("alumiini.git.stop", {"duration": duration_ns}, metadata)
        return
    metadata |= {
        "kind": qualified_name(type(error)),
        **description(error, str(error)),
        **_failed(detail, str(error)),
    }
    execute("alumiini.git.exception", {"duration": duration_ns}, metadata)
    report(error, Failure(GIT_ERROR, detail, str(error)), about)


def _learned(found: Repository | None) -> Repository:
    """Note what has been found out about a repository for the sync in progress; return all that is known."""
    scope = _scope.current.get()
    if scope is None or found is None:
        return _scope.repository_in_scope(found)
    return scope.learn(found)


def _failed(detail: str, message: str) -> dict[str, object]:
    outcome = "timeout" if detail in TIMEOUTS else "failure"
    return {"outcome": outcome, "error_type": detail, "error_message": message}
