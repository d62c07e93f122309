"""A worker with the command line of Snakepit's `grpc_server.py`."""

import argparse
import asyncio
import importlib
import json
import os
import signal
import traceback
from pathlib import Path

import grpc
import snakepit_bridge_pb2 as messages
import snakepit_bridge_pb2_grpc as services
from snakepit_bridge import telemetry
from snakepit_bridge.heartbeat import HeartbeatClient


class Backend:
    """Stands for the backend that streams events to Elixir."""

    def emit(self, event_name, measurements, metadata=None, correlation_id=None):
        with Path(os.environ["BRIDGE_EVENTS"]).open("a") as events:
            events.write(f"{event_name}\n")

    def close(self):
        pass


class Bridge(services.BridgeServiceServicer):
    def __init__(self, adapter, elixir, interval):
        telemetry.set_backend(Backend())
        self._adapter = adapter
        self._elixir = services.BridgeServiceStub(grpc.aio.insecure_channel(elixir))
        self._blocking = services.BridgeServiceStub(grpc.insecure_channel(elixir))
        self._interval = interval
        self._heartbeat = None

    async def InitializeSession(self, request, context):
        answer = await self._elixir.InitializeSession(request)
        self._heartbeat = HeartbeatClient(self._elixir, request.session_id, self._interval)
        self._heartbeat.start()
        return answer

    async def CleanupSession(self, request, context):
        answer = await self._elixir.CleanupSession(request)
        await self._heartbeat.stop()
        return answer

    async def ExecuteTool(self, request, context):
        self._blocking.InitializeSession(messages.InitializeSessionRequest(session_id=request.session_id))
        try:
            await asyncio.to_thread(self._adapter().execute_tool, request.tool_name, {}, None)
        except Exception as error:
            failed = {
                "type": type(error).__name__,
                "message": str(error),
                "traceback": traceback.format_exc(),
            }
            return messages.ExecuteToolResponse(success=False, error_message=json.dumps(failed))
        return messages.ExecuteToolResponse(success=True)


async def serve(options):
    module, _, name = options.adapter.rpartition(".")
    adapter = getattr(importlib.import_module(module), name)
    server = grpc.aio.server()
    bridge = Bridge(adapter, options.elixir_address, options.heartbeat_interval_ms / 1000)
    services.add_BridgeServiceServicer_to_server(bridge, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    ready = Path(os.environ["SNAKEPIT_READY_FILE"])
    ready.with_suffix(".tmp").write_text(str(port))
    ready.with_suffix(".tmp").rename(ready)
    await ended.wait()
    await server.stop(1)


parser = argparse.ArgumentParser()
parser.add_argument("--adapter")
parser.add_argument("--elixir-address")
parser.add_argument("--heartbeat-enabled", action="store_true")
parser.add_argument("--heartbeat-interval-ms", type=int)
asyncio.run(serve(parser.parse_args()))
