"""The host: starts and stops the exporters and the listeners that serve them."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence

from starlette.routing import BaseRoute

from assay.host import _health, _metrics, _otlp_http
from assay.host._discovery import validate
from assay.host._http_server import HttpServer
from assay.host._intake import Intake
from assay.host._otlp_grpc import GrpcServer
from assay.host._otlp_http import ExporterRoute
from assay.host._settings import HostConfig, ListenerSettings
from assay.host._sockets import HEALTH_CONNECTIONS, bind, connection_limit
from assay.host._worker import Worker

logger = logging.getLogger(__name__)


class Host:
    """An OTLP server and the exporters that it hosts.

    Args:
        config: Returned by `load_config`, or created in code.

    Attributes:
        addresses: After `start`, the address of each listener: `{name: (host, port)}`. The health listener is
            named `health`.

    Raises:
        ConfigError: An exporter's type or settings are not valid.
    """

    def __init__(self, config: HostConfig) -> None:
        self.config = config
        self.addresses: dict[str, tuple[str, int]] = {}
        self._factories = {name: validate(name, settings) for name, settings in config.exporters.items()}
        self._workers: dict[str, Worker] = {}
        self._intake = Intake(self._workers, config.limits)
        self._listeners: list[HttpServer | GrpcServer] = []
        self._health: HttpServer | None = None

    async def start(self) -> None:
        """Create the exporters, then start the listeners.

        Raises:
            StartError: An exporter or a listener cannot start; those that had started are stopped.
        """
        try:
            for name, factory in self._factories.items():
                worker = Worker(name, factory, self.config.exporters[name])
                await asyncio.to_thread(worker.start)
                self._workers[name] = worker
            _metrics.start_counters(
                {name: worker.signals for name, worker in self._workers.items()},
                {listener.name: listener.peer for listener in self.config.listeners},
            )
            _metrics.watch(lambda: {name: worker.depth for name, worker in self._workers.items()})
            routes = self._routes()
            for settings in self.config.listeners:
                self._listeners.append(self._make_listener(settings, routes))
                self.addresses[settings.name] = self._listeners[-1].address
            if self.config.health is not None:
                app = _health.make_app(self._intake, self.addresses)
                bound = bind("health", self.config.health.address, HEALTH_CONNECTIONS)
                self._health = HttpServer("health", bound, app, self.config.limits)
                self.addresses["health"] = self._health.address
            for server in self._servers():
                await server.start()
        except BaseException:
            await self.stop()
            raise
        for name, (host, port) in self.addresses.items():
            logger.info("listener %s listens on %s:%d", name, host, port)

    async def stop(self) -> bool:
        """Stop accepting requests, answer those in progress, then let each exporter finish and shut down.

        No acknowledged batch is lost: the host acknowledges a batch only after its export.

        Returns:
            Whether everything stopped within `limits.stop_timeout`; otherwise senders must resend the
            unacknowledged batches.
        """
        deadline = time.monotonic() + self.config.limits.stop_timeout
        self._intake.stopping = True
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        for worker in self._workers.values():
            worker.stop()
        late = [
            name
            for name, worker in self._workers.items()
            if not await asyncio.to_thread(worker.join, max(0.1, deadline - time.monotonic()))
        ]
        if late:
            logger.error("exporters %s did not stop in time", ", ".join(late))
        if self._health is not None:
            await self._health.stop()
        self._intake.close()
        return not late

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT, then stop gracefully; a second signal ends the process at once.

        Returns:
            Whether everything stopped in time, see `stop`.

        Raises:
            StartError: An exporter or a listener cannot start.
        """
        return asyncio.run(self._run())

    async def _run(self) -> bool:
        stop_requested = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, stop_requested.set)
        await self.start()
        await stop_requested.wait()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        logger.info("stopping")
        return await self.stop()

    def _servers(self) -> list[HttpServer | GrpcServer]:
        return [*self._listeners, *([self._health] if self._health is not None else [])]

    def _make_listener(
        self, settings: ListenerSettings, routes: Sequence[ExporterRoute]
    ) -> HttpServer | GrpcServer:
        limits = self.config.limits
        connections = connection_limit(limits.connections, len(self.config.listeners))
        if settings.protocol == "grpc":
            return GrpcServer(settings, self._intake, connections)
        bound = bind(settings.name, settings.address, connections)
        app = _otlp_http.make_app(settings, self._intake, routes, bound.connections)
        return HttpServer(settings.name, bound, app, limits, tls=settings.tls)

    def _routes(self) -> list[ExporterRoute]:
        collected: list[ExporterRoute] = []
        for worker in self._workers.values():
            routes = getattr(worker.exporter, "routes", None)
            if callable(routes):
                made: Sequence[BaseRoute] = routes()  # pyright: ignore[reportAssignmentType]  (optional member)
                collected.extend(ExporterRoute(route, worker.signals) for route in made)
        return collected
