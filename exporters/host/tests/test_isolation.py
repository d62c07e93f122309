"""A slow or failing exporter does not affect the others; a full queue refuses batches."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub

from assay.host import Host, HostConfig, Rejected, StartError, _metrics
from assay.host._expansion import memory, most_memory

from .conftest import Broken, CapturingExporter, LogsOnly, TracesOnly, exporter, http, logs, running, traces

PROTOBUF = {"content-type": "application/x-protobuf"}


def post(host, name=None, path="/v1/logs", request=None):
    headers = {**PROTOBUF, **({"assay-exporter": name} if name else {})}
    body = (request or logs()).SerializeToString()
    return requests.post(host.url(path), data=body, headers=headers, timeout=30)


def wait_for(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("the condition never became true")


def test_a_batch_goes_to_every_exporter_of_its_signal_or_to_the_named_one(serve):
    host = serve(exporters={"a": exporter("a"), "b": exporter("b", LogsOnly), "c": exporter("c", TracesOnly)})
    assert post(host).status_code == 200
    assert post(host, "a").status_code == 200
    assert post(host, path="/v1/traces", request=traces()).status_code == 200
    counts = {name: [batch.signal for batch in host.exporter(name).batches] for name in "abc"}
    assert counts == {"a": ["logs", "logs", "traces"], "b": ["logs"], "c": ["traces"]}


def test_an_exporter_gets_the_signals_that_its_configuration_names(serve):
    exporters = {
        "spans": exporter("spans", signals=["traces"]),
        "records": exporter("records", signals=["logs"]),
    }
    host = serve(exporters=exporters)
    assert post(host).status_code == 200
    assert post(host, path="/v1/traces", request=traces()).status_code == 200
    signals = {name: [batch.signal for batch in host.exporter(name).batches] for name in exporters}
    assert signals == {"spans": ["traces"], "records": ["logs"]}
    assert post(host, "spans").status_code == 404


def test_the_response_waits_for_every_exporter_and_reports_the_first_failure(serve):
    host = serve(exporters={"good": exporter("good"), "bad": exporter("bad")})
    host.exporter("bad").error = OSError("x")
    answer = post(host)
    assert answer.status_code == 503
    assert b"exporter bad failed (OSError)" in answer.content


def test_a_hanging_exporter_delays_no_other_and_its_full_queue_refuses_batches(serve):
    hanging = exporter("hanging", queue={"batches": 2})
    host = serve(exporters={"hanging": hanging, "quick": exporter("quick")})
    host.exporter("hanging").gate.clear()
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(post, host, "hanging") for _ in range(2)]
        wait_for(lambda: host.host._workers["hanging"].depth == 2)
        for _ in range(20):
            assert post(host, "quick").status_code == 200
        full = post(host, "hanging")
        assert full.status_code == 429
        assert full.headers["retry-after"] == "1"
        assert b"the queue of exporter hanging is full" in full.content
        with grpc.insecure_channel(host.target()) as channel, pytest.raises(grpc.RpcError) as caught:
            LogsServiceStub(channel).Export(logs(), metadata=(("assay-exporter", "hanging"),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not any(future.done() for future in waiting)
        host.exporter("hanging").gate.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
    assert len(host.exporter("hanging").batches) == 2


def test_a_queue_holds_the_bytes_that_its_batches_take_and_no_more(serve):
    """The most that a batch may take is charged while that fits, and what it takes when it does not."""
    request = logs(1000, "something.happened." * 10)
    payload = request.SerializeToString()
    taken, most = memory(payload, 1000, "protobuf"), most_memory(payload, 1000)
    assert 2 * taken < most
    host = serve(exporters={"all": exporter("all", queue={"bytes": most + 2 * taken})})
    host.exporter("all").gate.clear()
    with ThreadPoolExecutor(3) as pool:
        waiting = []
        for number in range(1, 4):
            waiting.append(pool.submit(post, host, "all", request=request))
            wait_for(lambda number=number: host.host._workers["all"].depth == number)
        assert post(host, "all", request=request).status_code == 429
        host.exporter("all").gate.set()
        assert [future.result().status_code for future in waiting] == [200, 200, 200]
    assert post(host, "all", request=request).status_code == 200


def test_a_batch_leaves_the_queue_before_its_sender_gets_the_response(serve, monkeypatch):
    record = _metrics.exported
    monkeypatch.setattr(_metrics, "exported", lambda *call: (time.sleep(0.05), record(*call)))
    host = serve(exporters={"all": exporter("all", queue={"batches": 1})})
    assert [post(host).status_code for _ in range(5)] == [200] * 5


def test_when_one_queue_is_full_no_exporter_gets_the_batch(serve):
    host = serve(exporters={"full": exporter("full", queue={"batches": 1}), "quick": exporter("quick")})
    host.exporter("full").gate.clear()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(post, host, "full")
        wait_for(lambda: host.host._workers["full"].depth == 1)
        assert post(host).status_code == 429
        host.exporter("full").gate.set()
        waiting.result()
    assert host.exporter("quick").batches == []


def test_a_sender_waits_at_most_export_timeout(serve):
    host = serve(limits={"export_timeout": 0.2})
    host.exporter().gate.clear()
    answer = post(host)
    assert answer.status_code == 503
    assert b"did not finish within 0.2 s" in answer.content


def test_a_batch_whose_sender_has_its_response_is_not_exported(serve):
    host = serve(limits={"export_timeout": 0.2})
    host.exporter().gate.clear()
    assert [post(host, request=logs(number)).status_code for number in (1, 2)] == [503, 503]
    host.exporter().gate.set()
    assert post(host, request=logs(3)).status_code == 200
    assert [batch.request for batch in host.exporter().batches] == [logs(1), logs(3)]


def test_health_names_the_failing_exporter(serve):
    host = serve(health={"address": "127.0.0.1:0"}, exporters={"a": exporter("a"), "b": exporter("b")})

    def health(path):
        answer = requests.get(host.url(path, "health"), timeout=30)
        return answer.status_code, answer.json()

    assert health("/health")[1].keys() == {"status", "timestamp"}
    assert health("/health/ready")[0] == 200
    host.exporter("b").error = OSError("x")
    post(host)
    wait_for(lambda: host.host._workers["a"].depth == 0)  # the response did not wait for a
    status, body = health("/health/detailed")
    assert (status, body["status"]) == (200, "warning")
    assert body["exporters"]["b"]["message"] == "the last batch failed with OSError: see the log"
    assert body["exporters"]["a"]["status"] == "ok"
    assert body["exporters"]["a"]["queue_size"] == 0
    host.exporter("b").error = Rejected("the sender's mistake")
    assert post(host, "b").status_code == 400
    assert health("/health/detailed")[1]["status"] == "ok"
    CapturingExporter.made["b"].reported = "a witness contradicts the log"
    status, body = health("/health/ready")
    assert (status, body["status"]) == (200, "warning")
    assert [each["message"] for each in body["checks"] if each["name"] == "exporter b"] == [
        "a witness contradicts the log"
    ]


def test_a_port_in_use_names_listener_and_port(serve):
    for protocol in ("http", "grpc"):
        host, port = serve().host.addresses[protocol]
        for other in ("http", "grpc"):
            taken = {"name": "mine", "protocol": other, "address": f"{host}:{port}"}
            with (
                pytest.raises(StartError, match=f"listener 'mine' .*{port}.* port {port} is in use"),
                running({"listeners": [taken]}),
            ):
                pass


def test_a_start_error_names_the_exporter():
    with (
        pytest.raises(StartError, match=r"exporters\.all: cannot start: OSError: no room for x"),
        running({"exporters": {"all": exporter("x", Broken)}}),
    ):
        pass


class BadRoutes(CapturingExporter):
    def routes(self):
        raise OSError("no routes")


def test_a_failed_start_shuts_the_started_exporters_down():
    exporters = {"good": exporter("good"), "bad": exporter("bad", BadRoutes)}
    host = Host(HostConfig.model_validate({"listeners": [http()], "exporters": exporters, "health": None}))
    with pytest.raises(OSError, match="no routes"):
        asyncio.run(host.start())
    assert [CapturingExporter.made.pop(name).closed for name in ("good", "bad")] == [True, True]


def test_stop_answers_requests_in_progress_and_shuts_exporters_down(serve):
    host = serve(listeners=[http()])
    exporting = host.exporter()
    exporting.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(post, host)
        wait_for(lambda: host.host._workers["all"].depth == 1)
        stopping = pool.submit(host.stop)
        exporting.gate.set()
        assert waiting.result().status_code == 200
        assert stopping.result() is True
    assert len(exporting.batches) == 1
    assert exporting.closed
