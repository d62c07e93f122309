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
from opentelemetry.instrumentation.alumiini.kubernetes._writes import Write, parse

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
        write = _parse(call)
        if write is None:
            return call()
        is_apply = is_server_side_apply(call.argument("headers"))
        with self._apply(call, write) as applied:
            try:
                answer = call()
                if is_apply:
                    load(answer)
            except BaseException as error:
                call.error = error  # of reading the body, too: the client would raise it
                _explain(applied, write, error)
                raise
            self._finish(call, applied, write, answer, is_apply=is_apply)
        return answer

    async def send_async(self, call: AsyncCall) -> Foreign:
        """Wrap an asynchronous client's request."""
        write = _parse(call)
        if write is None:
            return await call()
        is_apply = is_server_side_apply(call.argument("headers"))
        with self._apply(call, write) as applied:
            try:
                answer = await call()
                if is_apply:
                    await load_async(answer)
            except BaseException as error:
                call.error = error
                _explain(applied, write, error)
                raise
            self._finish(call, applied, write, answer, is_apply=is_apply)
        return answer

    def _apply(self, call: Call, write: Write) -> Apply:
        return Apply(
            write.kind,
            write.name,
            namespace=write.target.namespace,
            details=(str(call.argument("method")), str(call.argument("url"))),
            request_hook=self._request_hook,
            response_hook=self._response_hook,
        )

    @guarded
    def _finish(self, call: Call, applied: Apply, write: Write, answer: Foreign, *, is_apply: bool) -> None:
        applied.respond(answer)
        if _answers.is_failed(answer):
            message, detail = _answers.message_of(answer), _answers.type_of(answer)
            applied.fail(message, detail, write.verified_kind, headers=getattr(answer, "headers", None))
            return
        write.accepted()
        if is_apply and self._drifts.is_corrected_by(write.target, call.argument("body"), answer):
            for emit in (drift_detected, drift_corrected):
                emit(write.kind, write.name or "", namespace=write.target.namespace)


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
def _parse(call: Call) -> Write | None:
    query = call.argument("query_params")
    return parse(str(call.argument("method")), str(call.argument("url")), query, call.argument("body"))


@guarded
def _explain(applied: Apply, write: Write, failed: Foreign) -> None:
    applied.explain(_answers.type_of(failed), _answers.message_of(failed), write.verified_kind)
