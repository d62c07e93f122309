"""Dagster Pipes: `flowstone.pipes`, `flowstone.pipes.message` and `flowstone.pipes.failed`.

A session is a span, whichever client opens it. The external process gets the span's context in its
environment (TRACEPARENT, TRACESTATE, BAGGAGE), beside the variables of Pipes. Every client that passes those
variables on passes the context too. What the process reports reaches Dagster's event log by its step.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name

from assay.instrumentation import Call, Foreign, guarded, prepare_child
from assay.telemetry import Span, execute, span

_CONTEXT = "_flowstone_context"
NOT_EVENTS = frozenset({"log", "log_external_stream"})
"""The methods of messages that are not events: log lines, which are lines of `context.log`, and output."""


def follow_session(call: Call) -> Foreign:
    """Wrap `PipesMessageHandler.handle_messages()`: a context manager that lasts as long as the session."""
    return _followed(call(), call.instance)


def handle_message(call: Call) -> Foreign:
    """Wrap `PipesMessageHandler.handle_message(message)`, which readers call in threads of their own."""
    with _inside(call.instance):
        result = call()
        _emit_message(call.instance, call.argument("message"))
        return result


def add_context(call: Call) -> Foreign:
    """Wrap `PipesSession.get_bootstrap_env_vars()`: add the current context."""
    return {**call(), **_variables(call.instance)}


def add_context_for_each(call: Call) -> Foreign:
    """Wrap `PipesSession.get_per_writer_bootstrap_env_vars()`: add the current context for each process."""
    context = _variables(call.instance)
    return [{**variables, **context} for variables in call()]


@contextmanager
def _followed(messages: Foreign, handler: Foreign) -> Generator[Any]:
    session = span("flowstone.pipes", **_describe(handler) or {})
    with ExitStack() as stack:
        session.__enter__()
        stack.push(partial(_leave, session))
        setattr(handler, _CONTEXT, otel_context.get_current())
        yield stack.enter_context(messages)


def _leave(
    session: Span,
    exception_type: type[BaseException] | None,
    exception: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """End a session's span; a step that is interrupted is canceled, which is not an error."""
    if exception is not None and _is_interrupt(exception):
        session.end_as("canceled")
        session.__exit__(None, None, None)
    else:
        session.__exit__(exception_type, exception, trace)


@contextmanager
def _inside(handler: Foreign) -> Generator[None]:
    """Make a session's context current for the block."""
    token = otel_context.attach(getattr(handler, _CONTEXT, otel_context.get_current()))
    try:
        yield
    finally:
        otel_context.detach(token)


@guarded
def _emit_message(handler: Foreign, message: Mapping[str, Any]) -> None:
    method, parameters = message["method"], message["params"] or {}
    if method in NOT_EVENTS:
        return
    session = _describe(handler) or {}
    execute("flowstone.pipes.message", None, {**session, "pipes_method": method, **_reported(parameters)})
    if failure := parameters.get("exception"):
        failed = {"error_type": failure["name"], "error_message": failure["message"]}
        execute("flowstone.pipes.failed", None, {**session, **described(**failed)})


def _reported(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message reports of an asset or a check; the data of other messages is the user's own."""
    from dagster import AssetKey  # noqa: PLC0415 - Dagster is imported by then

    if "asset_key" not in parameters:
        return {}
    return described(
        asset=asset_name(AssetKey.from_escaped_user_string(parameters["asset_key"])),
        check=parameters.get("check_name"),
        passed=parameters.get("passed"),
        severity=parameters.get("severity"),
    )


@guarded
def _describe(handler: Foreign) -> dict[str, Any]:
    step = handler._context.get_step_execution_context()  # noqa: SLF001 - the handler has no other way to its step
    return described(run_id=step.run_id, step_key=step.step.key)


def _variables(session: Foreign) -> Mapping[str, str]:
    """Return the environment variables with which an external process joins the session's trace."""
    return prepare_child(correlation_id=session.context_data["run_id"]).environment({})


def _is_interrupt(error: BaseException) -> bool:
    from dagster._core.errors import DagsterExecutionInterruptedError  # noqa: PLC0415 - as above

    return isinstance(error, DagsterExecutionInterruptedError)
