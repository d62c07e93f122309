"""Wire kopf."""

from __future__ import annotations

from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI
from opentelemetry.instrumentation.alumiini.kopf._handlers import Handlers
from opentelemetry.instrumentation.alumiini.kopf._restarts import recall

from assay.instrumentation import Hooks, LibraryInstrumentor, Patches, Target


class KopfInstrumentor(LibraryInstrumentor):
    """Makes kopf emit ALUMIINI's syncs and workers.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies = ("kopf >= 1.37",)

    def patch(self, patches: Patches, hooks: Hooks) -> None:  # noqa: ARG002 - it offers no hooks
        """Patch kopf."""
        handlers = Handlers()
        patches.wrap(Target("kopf._core.actions.execution", "invoke_handler"), handlers.invoke)
        patches.wrap(Target("kopf._core.engines.daemons", "_runner"), handlers.run_worker)
        patches.wrap(Target("kopf._core.reactor.inventory", "ResourceMemories.recall"), recall)
        patches.wrap(Target("kopf._core.engines.peering", "keepalive"), handlers.keep_alive)
