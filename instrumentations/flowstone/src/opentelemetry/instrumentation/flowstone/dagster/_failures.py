"""The failures of steps and runs, without the exceptions that Dagster wraps around them."""

from __future__ import annotations

import builtins
import signal
from dataclasses import dataclass, replace
from typing import Any

from assay.instrumentation import Foreign
from assay.telemetry.spans import qualified_name

_REPORTED_ERRORS = {"DagsterResourceFunctionError", "DagsterSubprocessError"}
"""Dagster's errors of a run whose cause is the error of a resource or of a step."""


@dataclass(frozen=True)
class Failure:
    """A failure of a step.

    Args:
        error: The user's own exception if there is one, else Dagster's.
        type: Its type.
        message: Its message.
        retryable: Whether Dagster will try the step again.
        exit_code: Exit code of the step's process, if it died; negative, the signal that ended it.
    """

    error: BaseException
    type: str
    message: str
    retryable: bool
    exit_code: int | None = None

    def died_with(self, exit_code: int | None) -> Failure:
        """Return the failure of a process that has died, with its exit code if that is known."""
        if exit_code is None:
            return self
        named = signal_of(exit_code)
        message = (
            f"the process exited with code {exit_code}" if named is None else f"{named} ended the process"
        )
        return replace(
            self, message=message if self.message in {"", self.type} else self.message, exit_code=exit_code
        )

    def described(self) -> dict[str, Any]:
        """Return the metadata of the events that report it."""
        metadata: dict[str, Any] = {
            "error_type": self.type,
            "error_message": self.message,
            "retryable": self.retryable,
        }
        return metadata | self.exit()

    def exit(self) -> dict[str, Any]:
        """Return the metadata `exit_code` and `exit_signal`, as far as they are known."""
        if self.exit_code is None:
            return {}
        named = signal_of(self.exit_code)
        return {"exit_code": self.exit_code} | ({} if named is None else {"exit_signal": named})


def signal_of(exit_code: int) -> str | None:
    """Return the name of the signal that ended a process, by Python's negative exit code; else None."""
    if exit_code >= 0:
        return None
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return str(-exit_code)


def failure_of(error: BaseException, step_context: Foreign) -> Failure:
    """Return the failure of a step that an exception has ended."""
    cause = user_error(error)
    return Failure(cause, qualified_name(type(cause)), message_of(cause), will_retry(error, step_context))


def failure_of_event(event: Foreign) -> Failure:
    """Return the failure that a stored event records; its process is another one, or has died.

    Args:
        event: The event STEP_FAILURE, STEP_UP_FOR_RETRY or PIPELINE_FAILURE.
    """
    info = getattr(event.event_specific_data, "error", None)
    is_retried = event.event_type_value == "STEP_UP_FOR_RETRY"
    if info is not None:
        return failure_of_info(info, retryable=is_retried)
    message = str(event.message or "")
    return Failure(RuntimeError(message), type_of_failure(event), message, is_retried)


def failure_of_info(info: Foreign, *, retryable: bool = False) -> Failure:
    """Return the failure that a `SerializableErrorInfo` describes.

    Args:
        info: Dagster's description of an exception; None if Dagster has recorded none.
        retryable: Whether Dagster will try again.
    """
    root = _root_of(info)
    if root is None or not root.cls_name:
        return Failure(RuntimeError(), "_OTHER", "", retryable)
    kind = _qualified_name_of(root)
    message = str(root.message).strip().removeprefix(f"{kind}:").strip()
    return Failure(RuntimeError(message), kind, message, retryable)


def user_error(error: BaseException) -> BaseException:
    """Return the user's exception that Dagster has wrapped, or the exception itself."""
    from dagster import RetryRequested  # noqa: PLC0415 - Dagster is imported by then
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


def type_of_failure(event: Foreign) -> str:
    """Return the type of the first error that made a run fail, as its step's; else Dagster's reason.

    Args:
        event: The event PIPELINE_FAILURE, or the failure of a step.
    """
    data = event.event_specific_data
    first = getattr(data, "first_step_failure_event", None)
    error = first.event_specific_data.error if first is not None else getattr(data, "error", None)
    error = _root_of(error)
    if error is not None and error.cls_name:
        return _qualified_name_of(error)
    reason = getattr(data, "failure_reason", None)
    return str(getattr(reason, "value", None) or "_OTHER")


def is_failure_of_run(event: Foreign) -> bool:
    """Return whether a run failed by itself: not by a step or a resource, whose errors are reported.

    Args:
        event: The event PIPELINE_FAILURE.
    """
    data = event.event_specific_data
    if getattr(data, "first_step_failure_event", None) is not None:
        return False
    error = getattr(data, "error", None)
    names: set[str] = set()
    while error is not None:
        names.add(str(error.cls_name))
        error = error.cause
    return names.isdisjoint(_REPORTED_ERRORS)


def _root_of(error: Foreign) -> Foreign:
    """Return the first cause of a `SerializableErrorInfo`."""
    while error is not None and error.cause is not None:
        error = error.cause
    return error


def _qualified_name_of(error: Foreign) -> str:
    """Return the qualified name of a `SerializableErrorInfo`'s type.

    Its `cls_name` has no module. Its message is formatted by `traceback` and begins with the qualified name,
    in which the modules `builtins` and `__main__` are left out. `qualified_name` leaves out `builtins` only.
    """
    cls_name = str(error.cls_name)
    name = str(error.message).partition(":")[0].strip()
    if name.rpartition(".")[2] != cls_name:
        return cls_name
    if "." in name or hasattr(builtins, name):
        return name
    return f"__main__.{name}"
