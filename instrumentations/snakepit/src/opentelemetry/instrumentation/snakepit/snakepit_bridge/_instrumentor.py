"""The instrumentor of `snakepit_bridge`."""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry.instrumentation.snakepit.instrumentor import SNAKEPIT
from opentelemetry.instrumentation.snakepit.snakepit_bridge import _heartbeats
from opentelemetry.instrumentation.snakepit.snakepit_bridge._backend import BusBackend

from assay.instrumentation import Call, Foreign, Hooks, LibraryInstrumentor, Patches, Target, guarded

TELEMETRY = "snakepit_bridge.telemetry"
_HEARTBEAT = "snakepit_bridge.heartbeat"


class BridgeInstrumentor(LibraryInstrumentor):
    """Makes `snakepit_bridge` emit Snakepit's bus events: its own telemetry, tools, sessions and heartbeats.

    The servers and channels of gRPC that the process creates get interceptors, which concern calls of
    Snakepit's service only.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones, unless
            `SnakepitInstrumentor` has been instrumented with others.
    """

    subsystem = SNAKEPIT

    def patch(self, patches: Patches, hooks: Hooks) -> None:  # noqa: ARG002 - it has no hooks
        """Patch the library when the program imports it."""
        patches.wrap(Target(TELEMETRY, "set_backend"), _set_backend)
        patches.on_import(TELEMETRY, _wrap_backend)
        patches.wrap(Target(_HEARTBEAT, "HeartbeatClient.start"), _heartbeats.start)
        patches.wrap(Target(_HEARTBEAT, "HeartbeatClient.stop"), _heartbeats.stop)
        patches.wrap(Target(_HEARTBEAT, "HeartbeatClient._send_ping"), _heartbeats.send_ping)
        patches.wrap(Target(_HEARTBEAT, "HeartbeatClient._emit_threshold_notification"), _heartbeats.give_up)
        # gRPC itself is patched only in processes that use the bridge.
        patches.on_import("snakepit_bridge", lambda _: self._patch_grpc(patches))

    @staticmethod
    def _patch_grpc(patches: Patches) -> None:
        patches.wrap(Target("grpc.aio", "server"), _server)
        patches.wrap(Target("grpc.aio", "insecure_channel"), _aio_channel)
        patches.wrap(Target("grpc", "insecure_channel"), _channel)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        super()._uninstrument(**kwargs)
        _restore_backend()


def _set_backend(call: Call) -> Foreign:
    """Wrap `set_backend(backend)`."""
    call.replace("backend", BusBackend(call.argument("backend")))
    return call()


def _wrap_backend(module: Foreign) -> None:
    """Put our backend before the one that is set."""
    backend = module.get_backend()
    if not isinstance(backend, BusBackend):
        module.set_backend(backend)


@guarded
def _restore_backend() -> None:
    module: Any = sys.modules.get(TELEMETRY)
    backend = None if module is None else module.get_backend()
    if isinstance(backend, BusBackend):
        module.set_backend(backend.following)


def _server(call: Call) -> Foreign:
    """Wrap `grpc.aio.server`."""
    from opentelemetry.instrumentation.snakepit.snakepit_bridge.interceptors import (  # noqa: PLC0415 - it needs grpcio
        ServerInterceptor,
    )

    call.replace("interceptors", (*(call.argument("interceptors") or ()), ServerInterceptor()))
    return call()


def _aio_channel(call: Call) -> Foreign:
    """Wrap `grpc.aio.insecure_channel`."""
    from opentelemetry.instrumentation.snakepit.snakepit_bridge.interceptors import (  # noqa: PLC0415 - it needs grpcio
        aio_client_interceptors,
    )

    ours = aio_client_interceptors(call.argument("target"))
    call.replace("interceptors", [*(call.argument("interceptors") or ()), *ours])
    return call()


def _channel(call: Call) -> Foreign:
    """Wrap `grpc.insecure_channel`."""
    import grpc  # noqa: PLC0415 - the program has imported it
    from opentelemetry.instrumentation.snakepit.snakepit_bridge.interceptors import (  # noqa: PLC0415 - it needs grpcio
        ClientInterceptor,
    )

    channel: Any = call()
    intercept: Any = grpc.intercept_channel  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return intercept(channel, ClientInterceptor(call.argument("target")))
