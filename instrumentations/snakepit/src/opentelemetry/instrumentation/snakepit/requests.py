"""Requests and the Python calls that handle them: `snakepit.request.*`, `snakepit.python.call.*`."""

from __future__ import annotations

from opentelemetry.instrumentation.snakepit._metadata import described

from assay.telemetry import Span, execute, span


def request(
    request_id: str,
    command: str,
    *,
    pool_name: str,
    worker_id: str | None = None,
    correlation_id: str | None = None,
    **metadata: object,
) -> Span:
    """Return the span of a request; a context manager and a decorator.

    Inside, set `measurements["queue_time"]` (ns) and, if it is not `success` or `error`,
    `metadata["status"]`. An exception ends the span with `.exception` and propagates.

    Args:
        request_id: Id of the request.
        command: What the worker executes; a label of the series.
        pool_name: Name of the pool; a label of the series.
        worker_id: The worker, if it is known before the request starts.
        correlation_id: Correlation id of the request; None is the current one.
        metadata: Further metadata of the events.
    """
    return span(
        "snakepit.request",
        **described(
            request_id=request_id,
            command=command,
            pool_name=pool_name,
            worker_id=worker_id,
            correlation_id=correlation_id,
            **metadata,
        ),
    )


def request_completed(  # noqa: PLR0913 - the event's metadata
    request_id: str,
    command: str,
    *,
    pool_name: str,
    success: bool,
    duration_ms: float,
    queue_time_ms: float | None = None,
    worker_id: str | None = None,
    correlation_id: str | None = None,
    status: str | None = None,
    in_span: bool = False,
) -> None:
    """Emit that a request was completed.

    Alone, the event is counted and measured as the span `request` is.

    Args:
        request_id: Id of the request.
        command: What the worker executed.
        pool_name: Name of the pool.
        success: Whether it succeeded.
        duration_ms: Time from submission to result, in milliseconds.
        queue_time_ms: Time until a worker began, in milliseconds.
        worker_id: The worker.
        correlation_id: Correlation id of the request; None is the current one.
        status: The outcome, if it is neither `success` nor `error`.
        in_span: The caller also emits the span of the request, which alone is counted.
    """
    execute(
        "snakepit.request.completed",
        described(duration_ms=duration_ms, queue_time_ms=queue_time_ms),
        described(
            request_id=request_id,
            command=command,
            pool_name=pool_name,
            worker_id=worker_id,
            correlation_id=correlation_id,
            success=success,
            status=status or ("success" if success else "error"),
            in_span=in_span or None,
        ),
    )


def python_call(command: str, *, worker_id: str | None = None, **metadata: object) -> Span:
    """Return the span of a call of Python code in a worker; a context manager and a decorator.

    Args:
        command: What is called.
        worker_id: The worker.
        metadata: Further metadata of the events.
    """
    return span("snakepit.python.call", **described(command=command, worker_id=worker_id, **metadata))


def grpc_call(
    method: str, *, server_address: str, server_port: int | None = None, worker_id: str | None = None
) -> Span:
    """Return the span of a gRPC call to a worker; a context manager and a decorator.

    Inside, set `metadata["rpc_response_status_code"]` to the code's name, such as `OK`.

    Args:
        method: The method with its service, such as `snakepit.BridgeService/ExecuteTool`.
        server_address: Host of the server.
        server_port: Port of the server.
        worker_id: The worker.
    """
    return span(
        "snakepit.grpc.call",
        **described(
            method=method, worker_id=worker_id, server_address=server_address, server_port=server_port
        ),
    )
