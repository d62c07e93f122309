"""The host as a process: when it is stopped or killed, no acknowledged batch is lost."""

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.host import otlp_json

from .conftest import traces

PROGRAM = """
import sys, threading, time
from assay.host import Host, load_config
from assay.host.otlp_lines import OtlpLines

class Slow(OtlpLines):
    def export(self, batch):
        time.sleep(0.02)
        super().export(batch)

host = Host(load_config(sys.argv[1]))
threading.Thread(target=lambda: (time.sleep(0.01), print_when_up()), daemon=True).start()

def print_when_up():
    while "health" not in host.addresses:
        time.sleep(0.01)
    print(host.addresses["direct"][1], flush=True)

sys.exit(0 if host.run() else 1)
"""
CONFIG = """
listeners: [{{name: direct, protocol: http, address: "127.0.0.1:0"}}]
health: {{address: "127.0.0.1:0"}}
exporters: {{lines: {{type: "__main__:Slow", path: {path}}}}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGKILL])
def test_every_acknowledged_batch_is_stored_after_the_end(tmp_path, stop):
    (tmp_path / "host.yaml").write_text(CONFIG.format(path=tmp_path / "lines.jsonl"))
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, tmp_path / "program.py", tmp_path / "host.yaml"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{process.stdout.readline().strip()}/v1/traces"
    acknowledged: list[str] = []
    enough = threading.Event()

    def send(sender):
        for number in range(1000):
            request = traces()
            request.resource_spans[0].scope_spans[0].spans[0].name = f"{sender}/{number}"
            headers = {"content-type": "application/x-protobuf"}
            try:
                answer = requests.post(url, data=request.SerializeToString(), headers=headers, timeout=30)
            except requests.ConnectionError:
                return
            if answer.status_code != 200:
                return
            acknowledged.append(f"{sender}/{number}")
            if len(acknowledged) > 30:
                enough.set()

    with ThreadPoolExecutor(4) as pool:
        senders = [pool.submit(send, name) for name in "abcd"]
        assert enough.wait(60)
        process.send_signal(stop)
        status = process.wait(60)
        for sender in senders:
            sender.result()
    process.stdout.close()
    assert status == (0 if stop is signal.SIGTERM else -signal.SIGKILL)
    lines = (tmp_path / "lines.jsonl").read_bytes().splitlines()
    stored = {
        otlp_json.decode(line, ExportTraceServiceRequest, 64).resource_spans[0].scope_spans[0].spans[0].name
        for line in lines
    }
    assert set(acknowledged) <= stored
