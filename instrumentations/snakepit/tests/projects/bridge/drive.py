"""Play the Elixir side of Snakepit for one worker: `drive.py GRPC_SERVER READY_FILE`.

It starts the worker under `opentelemetry-instrument`, opens a session, calls two tools of which one fails,
waits for a heartbeat, closes the session and ends the worker. It prints its exit status.
"""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc
import snakepit_bridge_pb2 as messages
import snakepit_bridge_pb2_grpc as services

METADATA = (("x-snakepit-correlation-id", "order-17"),)
SECONDS = 60


class Elixir(services.BridgeServiceServicer):
    """The service that a worker calls."""

    heartbeats = Event()

    def Ping(self, request, context):
        return messages.PingResponse(message=request.message)

    def InitializeSession(self, request, context):
        return messages.InitializeSessionResponse(success=True)

    def CleanupSession(self, request, context):
        return messages.CleanupSessionResponse(success=True)

    def Heartbeat(self, request, context):
        self.heartbeats.set()
        return messages.HeartbeatResponse()


def wait_for(path, worker):
    deadline = time.monotonic() + SECONDS
    while not path.exists():
        assert worker.poll() is None, "the worker has ended"
        assert time.monotonic() < deadline, "the worker is not ready"
        time.sleep(0.05)
    return path.read_text()


def call(port, elixir):
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        worker = services.BridgeServiceStub(channel)
        arguments = {"timeout": SECONDS, "metadata": METADATA}
        worker.InitializeSession(messages.InitializeSessionRequest(session_id="sess-5"), **arguments)
        for tool in ("pay", "refund"):
            request = messages.ExecuteToolRequest(session_id="sess-5", tool_name=tool)
            assert worker.ExecuteTool(request, **arguments).success == (tool == "pay")
        assert elixir.heartbeats.wait(SECONDS)
        worker.CleanupSession(messages.CleanupSessionRequest(session_id="sess-5"), **arguments)


def main():
    program, ready = Path(sys.argv[1]), Path(sys.argv[2])
    server, elixir = grpc.server(ThreadPoolExecutor(4)), Elixir()
    services.add_BridgeServiceServicer_to_server(elixir, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    launcher = Path(sys.executable).with_name("opentelemetry-instrument")
    command = [launcher, sys.executable, program, "--adapter", "shop_adapter.ShopAdapter"]
    heartbeat = ["--heartbeat-enabled", "--heartbeat-interval-ms", "100"]
    worker = subprocess.Popen(
        [*command, "--elixir-address", f"127.0.0.1:{port}", *heartbeat],
        env={**os.environ, "SNAKEPIT_READY_FILE": str(ready), "SNAKEPIT_OTEL_CONSOLE": "0"},
    )
    try:
        call(wait_for(ready, worker), elixir)
        worker.send_signal(signal.SIGTERM)
        print(worker.wait(SECONDS))
    finally:
        worker.kill()
        server.stop(None)


if __name__ == "__main__":
    main()
