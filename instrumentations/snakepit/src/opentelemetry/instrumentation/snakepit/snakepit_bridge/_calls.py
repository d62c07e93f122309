"""The calls of Snakepit's gRPC service in a worker: tools, sessions, and the id that joins them.

The interceptors that carry them are in `interceptors`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry.instrumentation.snakepit.python_workers import error_occurred
from opentelemetry.instrumentation.snakepit.requests import python_call
from opentelemetry.instrumentation.snakepit.sessions import session
from opentelemetry.instrumentation.snakepit.snakepit_bridge._backend import POOL, worker_id

from assay.instrumentation import Foreign, guarded
from assay.telemetry import Span
from assay.telemetry.correlation import HEADER, correlation, current, is_correlation_id

TOOLS = {"ExecuteTool", "ExecuteStreamingTool"}
SESSIONS = {"InitializeSession": "created", "CleanupSession": "destroyed"}

Answered = Callable[[Any], object]
"""Takes the response of a call."""


@contextmanager
def joined(metadata: Mapping[str, str]) -> Generator[None]:
    """Set the correlation id of an incoming call, here and in the telemetry of `snakepit_bridge`."""
    given = metadata.get(HEADER, "")
    with correlation(given if is_correlation_id(given) else current()) as chosen:
        bridge: Any = sys.modules.get("snakepit_bridge.telemetry")
        if bridge is not None:
            bridge.set_correlation_id(chosen)
        yield


@contextmanager
def watched(method: str, request: Foreign) -> Generator[Answered]:
    """Emit what a call does; yield the function that takes its response.

    Args:
        method: Name of the method.
        request: The message.
    """
    if method in TOOLS:
        with python_call(request.tool_name, worker_id=worker_id(), session_id=request.session_id) as call:
            yield lambda response: _judge(call, request, response)
    else:
        yield lambda response: _emit_session(method, request, response)


@guarded
def _judge(call: Span, request: Foreign, response: Foreign) -> None:
    """Emit the error that a response contains: the service raises none."""
    if response.success:
        return
    error = _error_of(response.error_message)
    call.fail(error.get("message", ""), error.get("type", "_OTHER"))
    error_occurred(
        worker_id(),
        pool_name=POOL,
        command=request.tool_name,
        error_type=error.get("type"),
        error_message=error.get("message"),
        error_class="request",
        python_traceback=error.get("traceback"),
    )


def _error_of(text: str) -> dict[str, str]:
    try:
        found = json.loads(text)
        return {key: str(found[key]) for key in ("type", "message", "traceback") if key in found}
    except (ValueError, TypeError):
        return {"message": text}


@guarded
def _emit_session(method: str, request: Foreign, response: Foreign) -> None:
    action: Any = SESSIONS.get(method)
    if action is not None and response.success:
        session(action, request.session_id)
