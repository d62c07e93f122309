"""One exporter's slowness or failure is its own; a full queue pushes back."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub

from assay.host import Host, HostConfig, Rejected, StartError, metrics

from .conftest import Broken, LogsOnly, Recorder, TracesOnly, exporter, http, logs, running, traces

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
    raise AssertionError("it did not happen")


def test_a_batch_goes_to_all_who_take_it_or_to_the_one_named(serve):
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


def test_an_answer_waits_for_every_exporter_and_the_first_failure_is_told(serve):
    host = serve(exporters={"good": exporter("good"), "bad": exporter("bad")})
    host.exporter("bad").error = OSError("x")
    answer = post(host)
    assert answer.status_code == 503
    assert b"exporter bad failed (OSError)" in answer.content


def test_a_hanging_exporter_holds_up_nobody_else_and_its_queue_pushes_back(serve):
    hanging = exporter("hanging", queue={"batches": 2})
    host = serve(exporters={"hanging": hanging, "quick": exporter("quick")})
    host.exporter("hanging").gate.clear()
    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(post, host, "hanging") for _ in range(2)]
        wait_for(lambda: host.host._workers["hanging"].depth == 2)
        for _ in range(20):
            assert post(host, "quick").status_code == 200
        full = post(host, "hanging")
        assert full.status_code == 429
        assert full.headers["retry-after"] == "1"
        assert b"exporter hanging is behind and its queue is full" in full.content
        with grpc.insecure_channel(host.target()) as channel, pytest.raises(grpc.RpcError) as caught:
            LogsServiceStub(channel).Export(logs(), metadata=(("assay-exporter", "hanging"),))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not any(future.done() for future in held)
        host.exporter("hanging").gate.set()
        assert [future.result().status_code for future in held] == [200, 200]
    assert len(host.exporter("hanging").batches) == 2


def test_who_has_an_answer_has_left_the_queue(serve, monkeypatch):
    counted = metrics.exported
    monkeypatch.setattr(metrics, "exported", lambda *what: (time.sleep(0.05), counted(*what)))
    host = serve(exporters={"all": exporter("all", queue={"batches": 1})})
    assert [post(host).status_code for _ in range(5)] == [200] * 5


def test_a_full_queue_of_one_means_that_none_gets_the_batch(serve):
    host = serve(exporters={"full": exporter("full", queue={"batches": 1}), "quick": exporter("quick")})
    host.exporter("full").gate.clear()
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(post, host, "full")
        wait_for(lambda: host.host._workers["full"].depth == 1)
        assert post(host).status_code == 429
        host.exporter("full").gate.set()
        held.result()
    assert host.exporter("quick").batches == []


def test_a_sender_is_not_held_for_ever(serve):
    host = serve(limits={"export_timeout": 0.2})
    host.exporter().gate.clear()
    answer = post(host)
    assert answer.status_code == 503
    assert b"did not finish within 0.2 s" in answer.content


def test_a_batch_that_nobody_waits_for_is_not_exported(serve):
    host = serve(limits={"export_timeout": 0.2})
    host.exporter().gate.clear()
    assert [post(host, request=logs(number)).status_code for number in (1, 2)] == [503, 503]
    host.exporter().gate.set()
    assert post(host, request=logs(3)).status_code == 200
    assert [batch.request for batch in host.exporter().batches] == [logs(1), logs(3)]


def test_health_says_who_is_ill(serve):
    host = serve(health={"address": "127.0.0.1:0"}, exporters={"a": exporter("a"), "b": exporter("b")})

    def health(path):
        answer = requests.get(host.url(path, "health"), timeout=30)
        return answer.status_code, answer.json()

    assert health("/health")[1].keys() == {"status", "timestamp"}
    assert health("/health/ready")[0] == 200
    host.exporter("b").error = OSError("x")
    post(host)
    status, body = health("/health/detailed")
    assert (status, body["status"]) == (200, "warning")
    assert body["exporters"]["b"]["message"] == "the last batch failed with OSError: see the log"
    assert body["exporters"]["a"]["status"] == "ok"
    assert body["exporters"]["a"]["queue_size"] == 0
    host.exporter("b").error = Rejected("the sender's mistake")
    assert post(host, "b").status_code == 400
    assert health("/health/detailed")[1]["status"] == "ok"


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


def test_an_exporter_that_cannot_start_is_named():
    with (
        pytest.raises(StartError, match=r"exporters\.all: cannot start: OSError: no room for x"),
        running({"exporters": {"all": exporter("x", Broken)}}),
    ):
        pass


class BadRoutes(Recorder):
    def routes(self):
        raise OSError("no routes")


def test_whatever_stops_the_start_stops_what_had_started():
    exporters = {"good": exporter("good"), "bad": exporter("bad", BadRoutes)}
    host = Host(HostConfig.model_validate({"listeners": [http()], "exporters": exporters, "health": None}))
    with pytest.raises(OSError, match="no routes"):
        asyncio.run(host.start())
    assert [Recorder.made.pop(name).closed for name in ("good", "bad")] == [True, True]


def test_stop_answers_what_has_begun_and_shuts_down(serve):
    host = serve(listeners=[http()])
    recorder = host.exporter()
    recorder.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        held = pool.submit(post, host)
        wait_for(lambda: host.host._workers["all"].depth == 1)
        stopping = pool.submit(host.stop)
        recorder.gate.set()
        assert held.result().status_code == 200
        assert stopping.result() is True
    assert len(recorder.batches) == 1
    assert recorder.closed
