"""gRPC interceptors for Snakepit's service; they need grpcio.

```python
server = grpc.aio.server(interceptors=[ServerInterceptor()])
channel = grpc.intercept_channel(grpc.insecure_channel(target), ClientInterceptor(target))
channel = grpc.aio.insecure_channel(target, interceptors=aio_client_interceptors(target))
```

Calls of other services pass unchanged. The correlation id is in the metadata `x-snakepit-correlation-id`,
the trace context in that of OpenTelemetry's propagators.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
from opentelemetry import context as otel_context
from opentelemetry import propagate, trace
from opentelemetry.instrumentation.snakepit.requests import grpc_call
from opentelemetry.instrumentation.snakepit.snakepit_bridge._calls import joined, watched

from assay.instrumentation import Foreign, guarded
from assay.telemetry import Span
from assay.telemetry.ambient import correlation_id as ambient_correlation_id
from assay.telemetry.correlation import inject

SERVICE = "snakepit.bridge.BridgeService"
_Untyped: Any = grpc  # grpcio has no types


class ServerInterceptor(_Untyped.aio.ServerInterceptor):
    """Joins incoming calls to their trace and correlation id, and emits tools and sessions."""

    async def intercept_service(self, continuation: Foreign, handler_call_details: Foreign) -> Foreign:
        """Return the handler of a call, with the telemetry around it."""
        handler = await continuation(handler_call_details)
        service, _, method = handler_call_details.method.lstrip("/").partition("/")
        if handler is None or service != SERVICE:
            return handler
        return _instrumented(handler, method, _texts(handler_call_details.invocation_metadata)) or handler


@guarded
def _instrumented(handler: Foreign, method: str, metadata: dict[str, str]) -> Foreign:
    """Return a handler with telemetry around it; None if it streams requests, or does not run on the loop."""
    codec = handler.request_deserializer, handler.response_serializer
    if inspect.iscoroutinefunction(handler.unary_unary):
        behaviour = _unary(handler.unary_unary, method, metadata)
        return _Untyped.unary_unary_rpc_method_handler(behaviour, *codec)
    if inspect.isasyncgenfunction(handler.unary_stream):
        behaviour = _stream(handler.unary_stream, method, metadata)
        return _Untyped.unary_stream_rpc_method_handler(behaviour, *codec)
    return None


def _unary(behaviour: Foreign, method: str, metadata: dict[str, str]) -> Callable[..., Any]:
    async def serve(request: Foreign, context: Foreign) -> Foreign:
        _join_trace(metadata)
        with joined(metadata), watched(method, request) as answered:
            response = await behaviour(request, context)
            answered(response)
            return response

    return serve


def _stream(behaviour: Foreign, method: str, metadata: dict[str, str]) -> Callable[..., Any]:
    async def serve(request: Foreign, context: Foreign) -> AsyncGenerator[Any, None]:
        _join_trace(metadata)
        with joined(metadata), watched(method, request):
            async with AsyncExitStack() as stack:
                responses = behaviour(request, context)
                stack.push_async_callback(responses.aclose)
                async for response in responses:
                    yield response

    return serve


@guarded
def _join_trace(metadata: dict[str, str]) -> None:
    """Make the caller's trace current, unless OpenTelemetry's own instrumentation of gRPC has done so."""
    if not trace.get_current_span().get_span_context().is_valid:
        otel_context.attach(propagate.extract(metadata))


class ClientInterceptor(_Untyped.UnaryUnaryClientInterceptor, _Untyped.UnaryStreamClientInterceptor):
    """Sends the correlation id and the trace context, and emits each call.

    Args:
        target: The channel's target, such as `127.0.0.1:50051`.
    """

    def __init__(self, target: str) -> None:
        self._target = target

    def intercept_unary_unary(self, continuation: Foreign, details: Foreign, request: Foreign) -> Foreign:
        """Call a method."""
        return self._call(continuation, details, request)

    def intercept_unary_stream(self, continuation: Foreign, details: Foreign, request: Foreign) -> Foreign:
        """Call a method that streams its responses."""
        return self._call(continuation, details, request)

    def _call(self, continuation: Foreign, details: Foreign, request: Foreign) -> Foreign:
        call = _begin(self._target, details)
        if call is None:
            return continuation(details, request)
        started, sent = call
        outcome = continuation(sent, request)
        outcome.add_done_callback(lambda done: _end(started, done.code()))
        return outcome


class _AioCalls:
    """Calls of an asyncio channel.

    Args:
        target: The channel's target.
    """

    def __init__(self, target: str) -> None:
        self._target = target

    async def _call(self, continuation: Foreign, details: Foreign, request: Foreign) -> Foreign:
        call = _begin(self._target, details)
        if call is None:
            return await continuation(details, request)
        started, sent = call
        outcome = await continuation(sent, request)
        loop = asyncio.get_running_loop()

        async def end() -> None:
            _end(started, await outcome.code())

        outcome.add_done_callback(lambda _: _Ending.keep(loop.create_task(end())))
        return outcome


class _Ending:
    """Keeps the tasks that end spans: an event loop itself has weak references only."""

    tasks: set[Any] = set()  # noqa: RUF012 - shared on purpose

    @classmethod
    def keep(cls, task: asyncio.Task[None]) -> None:
        """Keep a task until it is done."""
        cls.tasks.add(task)
        task.add_done_callback(cls.tasks.discard)


class _AioUnary(_AioCalls, _Untyped.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(
        self, continuation: Foreign, details: Foreign, request: Foreign
    ) -> Foreign:
        return await self._call(continuation, details, request)


class _AioStream(_AioCalls, _Untyped.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(
        self, continuation: Foreign, details: Foreign, request: Foreign
    ) -> Foreign:
        return await self._call(continuation, details, request)


def aio_client_interceptors(target: str) -> list[Any]:
    """Return the interceptors of an asyncio channel: one for each kind of method, as gRPC requires.

    Args:
        target: The channel's target, such as `127.0.0.1:50051`.
    """
    return [_AioUnary(target), _AioStream(target)]


@guarded
def _begin(target: str, details: Foreign) -> tuple[Span, Any] | None:
    """Start the span of a call; return it and the call's details with our metadata; None to leave it alone.

    The span ends in another thread or task, so it is current only for the metadata.
    """
    method = _text(details.method).lstrip("/")
    if not method.startswith(f"{SERVICE}/"):
        return None
    host, _, port = target.rpartition(":")
    outside, before = otel_context.get_current(), ambient_correlation_id.get()
    started = grpc_call(
        method, server_address=host or target, server_port=int(port) if port.isdigit() else None
    )
    started.__enter__()
    try:
        ours: dict[str, str] = {}
        inject(ours)
        propagate.inject(ours)
    finally:
        otel_context.attach(outside)
        ambient_correlation_id.set(before)
    given = list(details.metadata or ())
    names = {name for name, _ in given}
    merged = [*given, *((name, value) for name, value in ours.items() if name not in names)]
    return started, details._replace(metadata=type(details.metadata)(*merged) if _is_aio(details) else merged)


@guarded
def _end(started: Span, code: Foreign) -> None:
    started.metadata["rpc_response_status_code"] = code.name
    if code is not _Untyped.StatusCode.OK:
        started.fail(code.name, code.name)
    started.__exit__(None, None, None)


def _is_aio(details: Foreign) -> bool:
    return isinstance(details.metadata, _Untyped.aio.Metadata)


def _texts(metadata: Foreign) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in metadata or ()}


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
