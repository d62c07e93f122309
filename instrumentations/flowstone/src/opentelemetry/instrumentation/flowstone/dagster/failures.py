"""What went wrong in a step, as its author would say it."""

from __future__ import annotations

from dataclasses import dataclass

from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign

from assay.telemetry.spans import qualified_name


@dataclass(frozen=True)
class Failure:
    """A failure of a step.

    Args:
        error: The user's own exception where there is one, else Dagster's.
        type: Its type.
        message: Its message.
        retryable: Dagster will try the step again.
    """

    error: BaseException
    type: str
    message: str
    retryable: bool


def failure_of(error: BaseException, step_context: Foreign) -> Failure:
    """Return what an exception that leaves a step means."""
    cause = user_error(error)
    return Failure(cause, qualified_name(type(cause)), message_of(cause), will_retry(error, step_context))


def user_error(error: BaseException) -> BaseException:
    """Take off what Dagster wraps around an exception of the user's."""
    from dagster import RetryRequested  # noqa: PLC0415 - Dagster is only there where it is instrumented
    from dagster._core.errors import DagsterUserCodeExecutionError  # noqa: PLC0415 - as above

    if isinstance(error, DagsterUserCodeExecutionError):
        original: BaseException | None = getattr(error, "user_exception", None)
        return original or error
    if isinstance(error, RetryRequested) and error.__cause__ is not None:
        return error.__cause__
    return error


def will_retry(error: BaseException, step_context: Foreign) -> bool:
    """Return whether Dagster tries the step again, by the rules of its `dagster_event_sequence_for_step`."""
    from dagster import RetryRequested  # noqa: PLC0415 - as above

    return (
        isinstance(error, RetryRequested)
        and not step_context.retry_mode.disabled
        and step_context.previous_attempt_count < error.max_retries
    )


def message_of(error: BaseException) -> str:
    """Return an exception's message; a Dagster `Failure` keeps it in its description."""
    return str(getattr(error, "description", None) or error)
