"""Syncs: the span `alumiini.sync`, and the events `alumiini.sync_started`, `_completed` and `_failed`."""

from __future__ import annotations

from time import monotonic_ns
from types import TracebackType
from typing import get_args

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.errors import (
    EventError,
    Failure,
    as_repository,
    description,
    error,
    failure_of_sync,
    find_reported,
    is_failure,
    outcome_of,
    report,
)
from opentelemetry.instrumentation.alumiini.events import Outcome, Trigger, described, emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.instrumentation import Hook, Operation
from assay.telemetry import Span

_TRIGGERS = get_args(Trigger)


class Sync:
    """A sync of a repository into a cluster; a context manager.

    Events inside are about its repository, namespace, cluster and trigger. If an exception leaves the block,
    the sync has failed, and the exception propagates. Its `error_type` is `git_error`, `parse_error` or
    `apply_error` if git, a parser or the cluster raised it, else the exception's class.

    Args:
        repository: The repository, or its name.
        trigger: Trigger.
        namespace: Namespace that is synced; None: as for `AlumiiniEvent`.
        cluster_id: Id of the cluster; None: as for `AlumiiniEvent`.
        details: Objects for the hooks of an adapter.
        request_hook: Called when the span has started.
        response_hook: Called before it ends.
        metadata: Further metadata of the span.

    Raises:
        EventError: The trigger is not one of the seed's.
    """

    def __init__(  # noqa: PLR0913 - the event and the adapters have these values
        self,
        repository: Repository | str,
        *,
        trigger: Trigger = "manual",
        namespace: str | None = None,
        cluster_id: str | None = None,
        details: tuple[object, ...] = (),
        request_hook: Hook | None = None,
        response_hook: Hook | None = None,
        **metadata: object,
    ) -> None:
        if trigger not in _TRIGGERS:
            raise EventError(f"the trigger is {trigger!r}, not one of {', '.join(_TRIGGERS)}")
        process = _scope.of_process()
        self._scope = _scope.Scope(
            as_repository(repository),
            namespace or process["namespace"],
            cluster_id or process["cluster_id"],
            trigger,
        )
        self._span = Span("alumiini.sync", **{**self._values(), **metadata})
        self._operation = Operation(
            self._span, *details, request_hook=request_hook, response_hook=response_hook
        )
        self._failure: Failure | None = None
        self._is_unfinished = False

    @property
    def repository(self) -> Repository:
        """The repository, with what has become known of it."""
        return self._scope.repository

    def learn(self, *, commit: str | None = None, branch: str | None = None, path: str | None = None) -> None:
        """Note what has become known of the repository, for this sync's further events.

        Args:
            commit: Revision that is applied.
            branch: Branch.
            path: Folder of the manifests.
        """
        name = self._scope.repository.name
        self._scope.learn(Repository(name, branch=branch, commit=commit, path=path))

    def applied(self, resources: int) -> None:
        """Set the number of applied resources; without a call it is the number of applies inside."""
        self._scope.resources_applied = resources

    def fail(self, message: str, error_type: str) -> None:
        """End the sync as failed although nothing is raised.

        Args:
            message: Message of the error.
            error_type: Type of the error, such as `parse_error`.
        """
        self._failure = Failure(error_type, "", message)
        self._span.fail(message, error_type)
        error(error_type, message, repository=self.repository)

    def leave_unfinished(self) -> None:
        """End the sync without an outcome, whatever leaves the block: it will be continued later."""
        self._is_unfinished = True

    def respond(self, result: object) -> None:
        """Set the result for the response hook."""
        self._operation.result = result

    def __enter__(self) -> Sync:  # noqa: PYI034 - typing.Self is not in 3.10
        """Emit `alumiini.sync.start` and `alumiini.sync_started`."""
        self._begun = monotonic_ns()
        self._outer = _scope.current.get()
        _scope.current.set(self._scope)
        self._operation.__enter__()
        emit("sync_started", envelope(), **self._rollout())
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Emit `alumiini.sync_completed` or `_failed`, and end the span."""
        try:
            if self._is_unfinished:
                exception_type = exception = trace = None  # so that it does not fail the span
                self._span.metadata["outcome"] = "unknown"
            elif exception is not None and is_failure(exception):
                self._fail(exception)
            elif self._failure is not None:
                self._report(self._failure, "failure")
            else:
                self._complete()
            self._span.measurements["resources_applied"] = self._scope.resources_applied
            self._span.metadata.update(described(self.repository))
        finally:
            self._operation.__exit__(exception_type, exception, trace)
            self._scope.failures.clear()  # their tracebacks keep the frames of the sync alive
            _scope.current.set(self._outer)

    def _values(self) -> dict[str, object]:
        scope = self._scope
        return {
            **described(scope.repository),
            "namespace": scope.namespace,
            "cluster_id": scope.cluster_id,
            "trigger": scope.trigger,
            **self._rollout(),
        }

    def _rollout(self) -> dict[str, str]:
        rollout = self._scope.repository.rollout_ref
        return {} if rollout is None else {"rollout_ref": rollout}

    def _complete(self) -> None:
        emit(
            "sync_completed",
            envelope(),
            duration_ns=monotonic_ns() - self._begun,
            resources_applied=self._scope.resources_applied,
            **self._rollout(),
        )

    def _fail(self, raised: BaseException) -> None:
        failure = find_reported(self._scope, raised)
        if failure is None:
            failure = failure_of_sync(raised)
            report(raised, failure, self.repository)
        self._span.metadata.update(description(raised, failure.message))
        self._report(failure, outcome_of(raised, failure.detail))

    def _report(self, failure: Failure, outcome: Outcome) -> None:
        values: dict[str, object] = {"error_detail": failure.detail} if failure.detail else {}
        self._span.metadata.update(
            {"outcome": outcome, "error_type": failure.type, "error_message": failure.message, **values}
        )
        emit(
            "sync_failed",
            envelope(),
            outcome=outcome,
            duration_ns=monotonic_ns() - self._begun,
            resources_applied=self._scope.resources_applied,
            error_type=failure.type,
            error_message=failure.message,
            **values,
            **self._rollout(),
        )


sync = Sync
