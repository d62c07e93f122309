"""Wire kopf."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI
from opentelemetry.instrumentation.alumiini.kopf import _workers
from opentelemetry.instrumentation.alumiini.kopf._handlers import Handlers
from opentelemetry.instrumentation.alumiini.kopf._restarts import recall

from assay.instrumentation import HookPoint, Hooks, LibraryInstrumentor, Patches, Target


class KopfInstrumentor(LibraryInstrumentor):
    """Makes kopf emit ALUMIINI's syncs and workers.

    Args (of `instrument`):
        request_hook: Called as `request_hook(span, handler, body)` when the span of a sync has started, with
            the handler's id and the object.
        response_hook: Called as `response_hook(span, handler, body, result)` before it ends, with the
            handler's result, or its exception.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies = ("kopf >= 1.37",)
    hook_points = (
        HookPoint("request_hook", "ASSAY_KOPF_REQUEST_HOOK"),
        HookPoint("response_hook", "ASSAY_KOPF_RESPONSE_HOOK"),
    )

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch kopf."""
        workers = _workers.Workers()
        _workers.observe(workers, self.meter_provider)
        handlers = Handlers(workers, hooks["request_hook"], hooks["response_hook"])
        patches.wrap(Target("kopf._core.actions.execution", "invoke_handler"), handlers.invoke)
        patches.wrap(Target("kopf._core.engines.daemons", "_runner"), handlers.run_worker)
        patches.wrap(Target("kopf._core.reactor.inventory", "ResourceMemories.recall"), recall)
        patches.wrap(Target("kopf._core.engines.peering", "keepalive"), handlers.keep_alive)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        _workers.forget()
        super()._uninstrument(**kwargs)
