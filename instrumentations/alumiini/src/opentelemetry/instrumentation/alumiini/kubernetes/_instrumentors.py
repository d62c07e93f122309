"""Wire the clients: all requests of their generated, dynamic and asynchronous APIs end in one method."""

from __future__ import annotations

from typing import ClassVar

from opentelemetry.instrumentation.alumiini.applies import Apply
from opentelemetry.instrumentation.alumiini.drifts import drift_corrected, drift_detected
from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI
from opentelemetry.instrumentation.alumiini.kubernetes import _answers
from opentelemetry.instrumentation.alumiini.kubernetes._drifts import (
    Drifts,
    is_server_side_apply,
    load,
    load_async,
)
from opentelemetry.instrumentation.alumiini.kubernetes._writes import Request, Write, parse

from assay.instrumentation import (
    AsyncCall,
    Call,
    Foreign,
    Hook,
    HookPoint,
    Hooks,
    LibraryInstrumentor,
    Patches,
    Target,
    guarded,
)

_HOOK_POINTS = (
    HookPoint("request_hook", "ASSAY_KUBERNETES_REQUEST_HOOK"),
    HookPoint("response_hook", "ASSAY_KUBERNETES_RESPONSE_HOOK"),
)
_REQUEST = "RESTClientObject.request"


class _Requests:
    """The wrappers of a client's requests.

    Args:
        hooks: The user's hooks.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._request_hook: Hook = hooks["request_hook"]
        self._response_hook: Hook = hooks["response_hook"]
        self._drifts = Drifts()

    def send(self, call: Call) -> Foreign:
        """Wrap a blocking client's request."""
        request, write = _read(call) or (None, None)
        if request is None or write is None:
            return call()
        with self._apply(request, write) as applied:
            try:
                answer = call()
                if is_server_side_apply(request):
                    load(answer)
            except BaseException as error:
                call.error = error  # of reading the body, too: the client would raise it
                _explain(applied, write, error)
                raise
            self._finish(request, applied, write, answer)
        return answer

    async def send_async(self, call: AsyncCall) -> Foreign:
        """Wrap an asynchronous client's request."""
        request, write = _read(call) or (None, None)
        if request is None or write is None:
            return await call()
        with self._apply(request, write) as applied:
            try:
                answer = await call()
                if is_server_side_apply(request):
                    await load_async(answer)
            except BaseException as error:
                call.error = error
                _explain(applied, write, error)
                raise
            self._finish(request, applied, write, answer)
        return answer

    def _apply(self, request: Request, write: Write) -> Apply:
        return Apply(
            write.kind,
            write.name,
            namespace=write.namespace,
            details=(request.method, request.url),
            request_hook=self._request_hook,
            response_hook=self._response_hook,
        )

    @guarded
    def _finish(self, request: Request, applied: Apply, write: Write, answer: Foreign) -> None:
        applied.respond(answer)
        if _answers.is_failed(answer):
            message, detail = _answers.message_of(answer), _answers.type_of(answer)
            applied.fail(message, detail, write.verified_kind, headers=getattr(answer, "headers", None))
            return
        write.accepted()
        if self._drifts.is_corrected_by(request, answer):
            for emit in (drift_detected, drift_corrected):
                emit(write.kind, write.name or "", namespace=write.namespace)


class KubernetesInstrumentor(LibraryInstrumentor):
    """Makes the client `kubernetes` emit applies, its dynamic client and `kubernetes.aio` included.

    Args (of `instrument`):
        request_hook: Called as `request_hook(span, method, url)` when the span has started.
        response_hook: Called as `response_hook(span, method, url, result)` before it ends, with the client's
            answer, or its exception.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies: ClassVar[tuple[str, ...]] = ("kubernetes >= 28.1",)
    hook_points = _HOOK_POINTS

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the client."""
        requests = _Requests(hooks)
        patches.wrap(Target("kubernetes.client.rest", _REQUEST), requests.send)
        patches.wrap(Target("kubernetes.aio.client.rest", _REQUEST), requests.send_async)


class KubernetesAsyncioInstrumentor(LibraryInstrumentor):
    """Makes the client `kubernetes_asyncio` emit applies, its dynamic client included.

    Args (of `instrument`):
        request_hook: Called as `request_hook(span, method, url)` when the span has started.
        response_hook: Called as `response_hook(span, method, url, result)` before it ends, with the client's
            answer, or its exception.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies: ClassVar[tuple[str, ...]] = ("kubernetes_asyncio >= 28.2",)
    hook_points = _HOOK_POINTS

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the client."""
        patches.wrap(Target("kubernetes_asyncio.client.rest", _REQUEST), _Requests(hooks).send_async)


@guarded
def _read(call: Call) -> tuple[Request, Write] | None:
    """Return a request and what it applies; None if it does not apply a resource."""
    argument = call.argument
    request = Request(
        str(argument("method")),
        str(argument("url")),
        argument("query_params"),
        argument("headers"),
        argument("body"),
    )
    write = parse(request)
    return None if write is None else (request, write)


@guarded
def _explain(applied: Apply, write: Write, failed: Foreign) -> None:
    applied.explain(_answers.type_of(failed), _answers.message_of(failed), write.verified_kind)
