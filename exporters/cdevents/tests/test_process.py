"""The exporter in a real host process, found by its entry point, and killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter

import pytest
import requests
import yaml

from .conftest import eventually, lines, logs

WAIT = 30


@pytest.fixture
def serve(tmp_path):
    """Start a host in its own process; return the process and its URL."""
    running = []
    script = (
        "import asyncio, sys\n"
        "from assay.host import Host, load_config\n"
        "async def main():\n"
        "    host = Host(load_config(sys.argv[1]))\n"
        "    await host.start()\n"
        "    print(*host.addresses['direct'], flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )

    def serving(sinks):
        config = tmp_path / "host.yaml"
        exporter = {"type": "cdevents", "outbox": str(tmp_path / "outbox.db"), "sinks": sinks}
        config.write_text(
            yaml.safe_dump(
                {
                    "listeners": [
                        {
                            "name": "direct",
                            "protocol": "http",
                            "address": "127.0.0.1:0",
                            "peer": "direct",
                            "auth": {"bearer": "a-token-for-a-test"},
                        }
                    ],
                    "health": {"address": "127.0.0.1:0"},
                    "exporters": {"cdevents": exporter},
                }
            )
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(config)], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        host, port = process.stdout.readline().split()
        return process, f"http://{host}:{port}/v1/logs"

    yield serving
    for process in running:
        process.kill()
        process.wait()
        process.stdout.close()


def batch_of(number):
    asset = {"flowstone.run_id": f"run{number}", "flowstone.asset": "a"}
    events = (("flowstone.materialization.start", asset), ("flowstone.materialization.stop", asset))
    return logs(*events, at=1_790_000_000_000_000_000 + number, span=number.to_bytes(8, "big"))


def post(url, number):
    return requests.post(
        url,
        data=batch_of(number).payload,
        headers={"Content-Type": "application/x-protobuf", "Authorization": "Bearer a-token-for-a-test"},
        timeout=WAIT,
    ).status_code


@pytest.mark.slow
def test_every_accepted_event_arrives_although_the_host_is_killed(serve, endpoint, tmp_path):
    """The host is killed several times while a sender sends and the receiver fails now and then."""
    path = tmp_path / "all.jsonl"
    sinks = [
        {"type": "file", "path": str(path)},
        {"type": "http", "url": endpoint.url, "retry": {"initial": 0.01, "maximum": 0.1}},
    ]
    answers = iter(range(10**9))
    endpoint.answer = lambda _: (503 if next(answers) % 7 == 3 else 204, {})
    process, url = serve(sinks)
    total = 120
    for number in range(1, total + 1):
        if number % 30 == 0:
            process.send_signal(signal.SIGKILL)
            process.wait()
            process, url = serve(sinks)
        assert post(url, number) == 200

    expected = {f"run{number}/a" for number in range(1, total + 1)}

    def arrived(documents):
        return Counter((d["id"], d["subject"], d["type"].split(".")[3]) for d in documents)

    eventually(lambda: len(arrived(lines(path))) == 2 * total, within=WAIT)
    eventually(lambda: len(arrived(endpoint.bodies())) == 2 * total, within=WAIT)
    for documents in (lines(path), endpoint.bodies()):
        firsts = list(dict.fromkeys((d["subject"], d["type"].split(".")[3]) for d in documents))
        for subject in expected:
            assert [phase for found, phase in firsts if found == subject] == ["started", "finished"]


@pytest.mark.slow
def test_pending_events_are_delivered_after_a_kill(serve, endpoint, tmp_path):
    endpoint.answer = lambda _: (503, {})
    sinks = [{"type": "http", "url": endpoint.url, "retry": {"initial": 0.01, "maximum": 0.1}}]
    process, url = serve(sinks)
    assert [post(url, number) for number in range(1, 6)] == [200] * 5
    process.send_signal(signal.SIGKILL)
    process.wait()
    endpoint.answer = lambda _: (204, {})
    serve(sinks)
    eventually(lambda: len({json.loads(body)["id"] for _, body in endpoint.accepted}) == 10, within=WAIT)
