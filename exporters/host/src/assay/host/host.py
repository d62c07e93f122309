"""The host: listeners in front, exporters behind, started and stopped in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import Sequence
from typing import Any

from assay.host import health, metrics, otlp_http
from assay.host.discovery import validate
from assay.host.http_server import HttpServer
from assay.host.intake import Intake
from assay.host.otlp_grpc import GrpcServer
from assay.host.settings import HostConfig, ListenerSettings
from assay.host.worker import Worker

logger = logging.getLogger(__name__)


class Host:
    """An OTLP server and the exporters that it hosts.

    Args:
        config: From `load_config`, or made by hand.

    Attributes:
        addresses: After `start`, where each listener listens: `{name: (host, port)}`; health is `health`.

    Raises:
        ConfigError: An exporter's type or settings do not hold.
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
        """Make the exporters, then listen.

        Raises:
            StartError: An exporter or a listener cannot start; whatever had started is stopped.
        """
        try:
            for name, factory in self._factories.items():
                worker = Worker(name, factory, self.config.exporters[name])
                await asyncio.to_thread(worker.start)
                self._workers[name] = worker
            metrics.watch(lambda: {name: worker.depth for name, worker in self._workers.items()})
            routes = self._routes()
            for settings in self.config.listeners:
                self._listeners.append(self._listen(settings, routes))
                self.addresses[settings.name] = self._listeners[-1].address
            if self.config.health is not None:
                app = health.make_app(self._intake, self.addresses)
                self._health = HttpServer("health", self.config.health.address, app, self.config.limits)
                self.addresses["health"] = self._health.address
            for server in self._servers():
                await server.start()
        except BaseException:
            await self.stop()
            raise
        for name, (host, port) in self.addresses.items():
            logger.info("listener %s: %s:%d", name, host, port)

    async def stop(self) -> bool:
        """Stop: accept no more, answer what has begun, let each exporter finish and shut down.

        Nothing that was acknowledged is in a queue: a batch is acknowledged after its export.

        Returns:
            Whether everything ended within `limits.stop_timeout`; else what had not is the senders' to send
            again.
        """
        end = time.monotonic() + self.config.limits.stop_timeout
        self._intake.stopping = True
        await asyncio.gather(*(listener.stop() for listener in self._listeners))
        for worker in self._workers.values():
            worker.stop()
        late = [
            name
            for name, worker in self._workers.items()
            if not await asyncio.to_thread(worker.join, max(0.1, end - time.monotonic()))
        ]
        if late:
            logger.error("exporters %s did not stop in time", ", ".join(late))
        if self._health is not None:
            await self._health.stop()
        self._intake.close()
        return not late

    def run(self) -> bool:
        """Serve until SIGTERM or SIGINT, then stop; a second signal stops at once.

        Returns:
            What `stop` says.

        Raises:
            StartError: As `start`.
        """
        return asyncio.run(self._run())

    async def _run(self) -> bool:
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        signals = (signal.SIGTERM, signal.SIGINT)
        for number in signals:
            loop.add_signal_handler(number, asked.set)
        await self.start()
        await asked.wait()
        for number in signals:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        logger.info("stopping")
        return await self.stop()

    def _servers(self) -> list[HttpServer | GrpcServer]:
        return [*self._listeners, *([self._health] if self._health is not None else [])]

    def _listen(self, settings: ListenerSettings, routes: Sequence[Any]) -> HttpServer | GrpcServer:
        if settings.protocol == "grpc":
            return GrpcServer(settings, self._intake)
        app = otlp_http.make_app(settings, self._intake, routes)
        return HttpServer(settings.name, settings.address, app, self.config.limits, tls=settings.tls)

    def _routes(self) -> list[Any]:
        found: list[Any] = []
        for worker in self._workers.values():
            routes = getattr(worker.exporter, "routes", None)
            if callable(routes):
                found.extend(routes())  # pyright: ignore[reportArgumentType, reportUnknownArgumentType]  (optional member)
        return found
