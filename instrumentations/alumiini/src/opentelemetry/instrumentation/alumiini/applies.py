"""Applies: the span `alumiini.apply`, and the events `alumiini.apply_started`, `_completed` and `_failed`."""

from __future__ import annotations

from time import monotonic_ns
from types import TracebackType

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.errors import (
    TIMEOUTS,
    Failure,
    as_repository,
    description,
    is_failure,
    is_timeout,
    message_of,
    outcome_of,
    report,
)
from opentelemetry.instrumentation.alumiini.events import Outcome, emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.instrumentation import Hook, Operation
from assay.telemetry import Span
from assay.telemetry.spans import qualified_name

APPLY_ERROR = "apply_error"


class Apply:
    """The applying of one resource to the cluster; a context manager.

    If an exception leaves the block, the apply has failed, and the exception propagates.

    Args:
        resource_kind: Kind of the resource, such as `Deployment`; a label of the series.
        name: Name of the resource.
        namespace: Namespace of the resource; None: that of the sync in progress.
        repository: The repository, or its name; None: that of the sync in progress.
        details: Objects for the hooks of an adapter.
        request_hook: Called when the span has started.
        response_hook: Called before it ends.
    """

    def __init__(  # noqa: PLR0913 - the event has these values
        self,
        resource_kind: str,
        name: str | None = None,
        *,
        namespace: str | None = None,
        repository: Repository | str | None = None,
        details: tuple[object, ...] = (),
        request_hook: Hook | None = None,
        response_hook: Hook | None = None,
    ) -> None:
        self._repository = as_repository(repository)
        self._shared = envelope(self._repository, namespace)
        self._shared["resource_kind"] = resource_kind
        if name is not None:
            self._shared["name"] = name
        self._span = Span("alumiini.apply", **self._shared)
        self._operation = Operation(
            self._span, *details, request_hook=request_hook, response_hook=response_hook
        )
        self._resources = 1
        self._detail = ""
        self._message: str | None = None
        self._is_failed = False
        self._failed: object = None

    def applied(self, resources: int) -> None:
        """Set the number of applied resources; 1 without a call."""
        self._resources = resources

    def explain(self, detail: str, message: str | None = None, resource_kind: str | None = None) -> None:
        """Describe the exception that is about to leave the block.

        Args:
            detail: Type of the error: `conflict`, `validation`, `auth`, or another.
            message: Message instead of the exception's, which may quote the manifest.
            resource_kind: Kind of the resource, if the given one is not certain.
        """
        self._detail, self._message = detail, message
        if resource_kind is not None:
            self._shared["resource_kind"] = resource_kind

    def fail(
        self, message: str, detail: str, resource_kind: str | None = None, *, headers: object = None
    ) -> None:
        """End the apply as failed although nothing is raised.

        Args:
            message: Message of the error.
            detail: Type of the error, as in `explain`.
            resource_kind: Kind of the resource, as in `explain`.
            headers: The `headers` of the exception that the library will raise for it, if it will.
        """
        self._failed = headers
        self.explain(detail, message, resource_kind)
        self._span.fail(message, detail)
        self._is_failed = True

    def respond(self, result: object) -> None:
        """Set the result for the response hook."""
        self._operation.result = result

    def __enter__(self) -> Apply:  # noqa: PYI034 - typing.Self is not in 3.10
        """Emit `alumiini.apply.start` and `alumiini.apply_started`."""
        self._begun = monotonic_ns()
        self._operation.__enter__()
        emit("apply_started", self._shared)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Emit `alumiini.apply_completed` or `_failed`, and end the span."""
        try:
            if exception is not None and is_failure(exception):
                self._fail(exception)
            elif self._is_failed:
                self._fail(None)
            else:
                self._complete()
        finally:
            self._operation.__exit__(exception_type, exception, trace)

    def _complete(self) -> None:
        scope = _scope.current.get()
        if scope is not None:
            scope.resources_applied += self._resources
        self._span.measurements["resources_applied"] = self._resources
        emit(
            "apply_completed",
            self._shared,
            duration_ns=monotonic_ns() - self._begun,
            resources_applied=self._resources,
        )

    def _fail(self, raised: BaseException | None) -> None:
        """Report the failure: of the exception, or without one the failure that `fail` has described."""
        detail, message = self._detail, self._message or ""
        outcome: Outcome = "timeout" if detail in TIMEOUTS else "failure"
        if raised is not None:
            detail = detail or ("timeout" if is_timeout(raised) else qualified_name(type(raised)))
            message = message_of(raised) if self._message is None else message
            outcome = outcome_of(raised, detail)
            self._span.metadata.update(description(raised, message))
        error = {"error_type": detail, "error_message": message}
        kind = self._shared["resource_kind"]  # as `explain` may have corrected it
        self._span.metadata.update({"resource_kind": kind, "outcome": outcome, **error})
        report(
            self._failed if raised is None else raised,
            Failure(APPLY_ERROR, detail, message),
            self._repository,
        )
        emit(
            "apply_failed",
            self._shared,
            outcome=outcome,
            duration_ns=monotonic_ns() - self._begun,
            error_type=detail,
            error_message=message,
        )


apply = Apply
