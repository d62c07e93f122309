"""`snakepit_bridge`: a worker behind a gRPC server, under `opentelemetry-instrument`.

The worker is one of ours with the interface of Snakepit's. ASSAY_SNAKEPIT names a checkout of
nshkrdotcom/snakepit, whose own worker then runs too.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented
from assay.instrumentation.testing.receiver import AUDIT, attributes

BRIDGE = Path(__file__).parent / "projects" / "bridge"
CHECKOUT = os.environ.get("ASSAY_SNAKEPIT")
REAL = pytest.param(
    Path(CHECKOUT or "", "priv/python"),
    id="real",
    marks=pytest.mark.skipif(not CHECKOUT, reason="ASSAY_SNAKEPIT does not name a checkout of Snakepit"),
)


@pytest.fixture(scope="module", params=[pytest.param(BRIDGE / "ours", id="ours"), REAL])
def worker(request, tmp_path_factory):
    """Run a worker through a session; return what arrived, and the events that its own backend got."""
    folder = tmp_path_factory.mktemp("bridge")
    with OTLPReceiver() as receiver:
        done = run_instrumented(
            *("python", BRIDGE / "drive.py", request.param / "grpc_server.py", folder / "ready"),
            environment=clean_environment(
                OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
                ASSAY_AUDIT_ENDPOINT=f"{receiver.endpoint}/v1/audit",
                ASSAY_AUDIT_QUEUE="memory",
                PYTHONPATH=os.pathsep.join(map(str, (request.param, BRIDGE))),
                BRIDGE_EVENTS=str(folder / "events"),
            ),
            folder=folder,
            timeout=180,
        )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["0"]), done.stdout + done.stderr
    return SimpleNamespace(receiver=receiver, own=folder / "events", stderr=done.stderr)


def logs(worker, name, path="/v1/logs"):
    found = worker.receiver.logs(path)
    return [attributes(record.attributes) for record in found if record.event_name == name]


pytestmark = pytest.mark.slow


def test_a_tool_is_a_call_in_the_worker_with_the_correlation_id_of_its_caller(worker):
    calls = {
        attributes(span.attributes)["snakepit.command"]: span
        for span in worker.receiver.spans("snakepit.python.call")
    }
    # A tool runs in a thread of asyncio, which is a pool too.
    calls.pop("shop_adapter.ShopAdapter.execute_tool")
    tools = {
        attributes(span.attributes)["snakepit.tool"]: span
        for span in worker.receiver.spans("snakepit.python.tool.execution")
    }
    assert calls.keys() == tools.keys() == {"pay", "refund"}
    for name, call in calls.items():
        assert tools[name].parent_span_id == call.span_id or tools[name].trace_id == call.trace_id
        for span in (call, tools[name]):
            assert attributes(span.attributes)["assay.correlation_id"] == "order-17"
    assert calls["pay"].status.code != calls["refund"].status.code


def test_the_error_of_a_tool_has_its_context(worker):
    errors = logs(worker, "snakepit.python.error.occurred")
    # A tool runs in a thread of asyncio, which is a pool too.
    (error,) = (each for each in errors if each["snakepit.pool_name"] == "snakepit_bridge")
    assert error["error.type"] == "ValueError"
    assert error["assay.error.message"] == "nothing was paid"
    assert "execute_tool" in error["snakepit.python_traceback"]


def test_a_session_is_an_audit_record(worker):
    for name in ("snakepit.session.created", "snakepit.session.destroyed"):
        (session,) = logs(worker, name)
        assert session["snakepit.session_id"] == "sess-5"
        assert session["assay.correlation_id"] == "order-17"
    assert len(worker.receiver.logs(AUDIT)) == 2


def test_calls_to_elixir_carry_the_correlation_id_and_are_spans(worker):
    found = Counter()
    for span in worker.receiver.spans("snakepit.grpc.call"):
        has = attributes(span.attributes)
        found[has["snakepit.method"].rpartition("/")[2], has["rpc.response.status_code"]] += 1
    assert found["InitializeSession", "OK"] >= 3  # of the session, and of each tool
    assert found["CleanupSession", "OK"] == 1
    assert found["Heartbeat", "OK"] >= 1


def test_heartbeats_are_events(worker):
    assert len(logs(worker, "snakepit.heartbeat.monitor_started")) == 1
    assert len(logs(worker, "snakepit.heartbeat.monitor_stopped")) == 1
    pongs = logs(worker, "snakepit.heartbeat.pong_received")
    assert pongs
    assert all(each["snakepit.latency_ms"] > 0 for each in pongs)


def test_the_workers_own_backend_gets_the_events_too(worker):
    if not worker.own.exists():
        pytest.skip("the real worker streams its events to Elixir, which does not subscribe here")
    (size,) = logs(worker, "snakepit.python.tool.result_size")
    assert size["snakepit.size_bytes"] == 10
    assert Counter(worker.own.read_text().split()) == {
        "tool.execution.start": 2,
        "tool.execution.stop": 1,
        "tool.execution.exception": 1,
        "tool.result_size": 1,
    }


def test_the_instrumentation_does_not_fail(worker):
    assert "the instrumentation failed" not in worker.stderr
