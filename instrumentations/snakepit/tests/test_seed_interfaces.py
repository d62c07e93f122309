"""The seed's interfaces: EventBus, Metrics and HealthCheck."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.errors import ConfigurationError
from opentelemetry.instrumentation.snakepit.event_bus import EventBus
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor
from opentelemetry.instrumentation.snakepit.health import Criteria, HealthCheck, asgi_app, serve, wsgi_app
from opentelemetry.instrumentation.snakepit.metrics import Metrics

from assay.instrumentation.testing import free_port, wait_until
from assay.telemetry import detach, sampling

REQUESTS = {
    "type": "counter",
    "name": "snakepit_requests_total",
    "help": "Total number of requests processed",
    "labels": ["pool_name", "command", "status"],
}
AVAILABLE = {
    "type": "gauge",
    "name": "snakepit_pool_available_workers",
    "help": "Number of available workers in pool",
    "labels": ["pool_name"],
}
DURATION = {
    "type": "histogram",
    "name": "snakepit_request_duration_seconds",
    "help": "Request execution duration",
    "labels": ["pool_name", "command"],
    "buckets": [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0],
}
SEED = [REQUESTS, AVAILABLE, DURATION]


def test_the_bus_takes_lists_and_injects_a_correlation_id(telemetry):
    bus, seen = EventBus(), []
    consumer = bus.register_consumer(["snakepit", "worker", "*"], lambda *event: seen.append(event))
    bus.emit(
        ["snakepit", "worker", "tainted"],
        {},
        {"pool_name": "default", "worker_id": "default-3", "api_key": "s3cret"},
    )
    detach(consumer)

    ((event, _, metadata),) = seen
    assert event == "snakepit.worker.tainted"
    assert metadata["correlation_id"]
    assert metadata["api_key"] == "[REDACTED]"
    (record,) = telemetry.logs("snakepit.worker.tainted")
    assert record.log_record.attributes["assay.correlation_id"] == metadata["correlation_id"]


def test_the_bus_samples_and_keeps_audit_events(telemetry):
    bus = EventBus()
    bus.set_sampling_rate("snakepit.*", 1e-9)
    try:
        bus.emit("snakepit.heartbeat.ping_sent", {}, {"worker_id": "w"})
        bus.emit("snakepit.session.created", {}, {"session_id": "s"})
    finally:
        sampling.clear()
    assert [each.log_record.event_name for each in telemetry.logs()] == ["snakepit.session.created"]


@pytest.mark.parametrize(
    "wrong",
    [lambda bus: bus.register_consumer("a*b", print), lambda bus: bus.set_sampling_rate("snakepit.*", 2.0)],
)
def test_a_wrong_configuration_of_the_bus_is_an_error(wrong):
    with pytest.raises(ConfigurationError):
        wrong(EventBus())


def test_the_seeds_metrics_can_be_registered_and_updated(telemetry):
    metrics = Metrics(telemetry.meter_provider)
    for spec in (*SEED, *SEED):
        metrics.register_metric(spec)
    labels = {"pool_name": "default", "command": "predict", "status": "success"}
    metrics.update_counter("snakepit_requests_total", labels)
    metrics.update_counter("snakepit_requests_total", labels, 2)
    metrics.update_gauge("snakepit_pool_available_workers", {"pool_name": "default", "user": "ines"}, 8)
    metrics.observe_histogram("snakepit_request_duration_seconds", labels, 0.003)

    # Old versions of the SDK give the last value of a gauge to the first collection only.
    (point,) = telemetry.points("snakepit.pool.available_workers")
    assert (dict(point.attributes), point.value) == ({"pool_name": "default"}, 8)
    (point,) = telemetry.points("snakepit.requests")
    assert (dict(point.attributes), point.value) == (labels, 3)
    (point,) = telemetry.points("snakepit.request.duration")
    assert list(point.explicit_bounds) == DURATION["buckets"]


@pytest.mark.parametrize(
    "changed",
    [{"type": "gauge"}, {"labels": ["pool_name"]}, {"name": ""}, {"type": "summary"}],
)
def test_a_specification_that_contradicts_is_an_error(telemetry, changed):
    with pytest.raises(ConfigurationError, match=r"contradicts|is not a metric"):
        Metrics(telemetry.meter_provider).register_metric({**REQUESTS, **changed})


def test_buckets_that_contradict_are_an_error(telemetry):
    metrics = Metrics(telemetry.meter_provider)
    metrics.register_metric({**DURATION, "name": "shop_seconds", "buckets": [1]})
    with pytest.raises(ConfigurationError, match=r"shop_seconds: `buckets` \(2.0,\) contradicts"):
        metrics.register_metric({**DURATION, "name": "shop_seconds", "buckets": [2]})


def test_an_update_of_an_unknown_metric_is_logged(telemetry, caplog):
    Metrics(telemetry.meter_provider).update_gauge("shop_size", {}, 1)
    assert "cannot update the gauge shop_size: it is not registered" in caplog.text


def completed_requests_are_counted():
    """A request is counted after its waiters are notified."""
    pool = HealthCheck().get_detailed_health()["pools"]["model"]
    return pool["busy_workers"] == 1 and pool["error_rate"] == 0.5


@pytest.fixture
def busy_pool(telemetry):
    """Return a pool with one busy worker of two, a failed request and a successful one."""
    FuturesInstrumentor().instrument()
    go_on = threading.Event()
    with ThreadPoolExecutor(2, "model") as executor:
        executor.submit(int, "1").result()
        executor.submit(int, "x").exception()
        executor.submit(go_on.wait)
        wait_until(completed_requests_are_counted)
        yield executor
        go_on.set()
    FuturesInstrumentor().uninstrument()


def test_the_detailed_health_has_the_seeds_body(busy_pool):
    report = HealthCheck(Criteria(warning_error_rate=0.0, max_error_rate=1.1)).get_detailed_health()

    assert report["status"] == "warning"
    pool = report["pools"]["model"]
    assert (pool["total_workers"], pool["available_workers"], pool["queue_size"]) == (2, 1, 0)
    assert pool["avg_response_time_ms"] > 0
    assert report["system"].keys() == {"memory_mb", "process_count", "port_count", "uptime_seconds"}
    assert [check["name"] for check in report["checks"]] == [
        "worker_availability",
        "error_rate",
        "queue_depth",
    ]
    assert report["checks"][0]["message"] == "model: 1/2 workers available"


def test_readiness_is_an_error_beyond_the_criteria(busy_pool):
    assert HealthCheck(Criteria(max_error_rate=1.1)).check_readiness().status == "ok"
    verdict = HealthCheck(Criteria(warning_error_rate=0.0, max_error_rate=0.0)).check_readiness()
    assert (verdict.status, len(verdict.reasons)) == ("error", 1)
    assert HealthCheck().check_health().status == "ok"


PATHS = [("/health", 200), ("/health/ready", 503), ("/health/detailed", 503), ("/else", 404)]
STRICT = Criteria(max_error_rate=0.0)


@pytest.mark.parametrize(("path", "code"), PATHS)
def test_asgi(busy_pool, path, code):
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(asgi_app(HealthCheck(STRICT))({"type": "http", "path": path}, None, send))
    assert sent[0]["status"] == code
    assert json.loads(sent[1]["body"])["status"] in {"ok", "error"}


@pytest.mark.parametrize(("path", "code"), PATHS)
def test_wsgi(busy_pool, path, code):
    environ, started = {"PATH_INFO": path, "SCRIPT_NAME": "", "QUERY_STRING": ""}, []
    setup_testing_defaults(environ)

    def start_response(status, headers, _exc_info=None):
        started.append(status)

    answer = validator(wsgi_app(HealthCheck(STRICT)))(environ, start_response)
    assert json.loads(b"".join(answer))["status"] in {"ok", "error"}
    answer.close()
    assert started[0].startswith(str(code))


@pytest.mark.parametrize(("path", "code"), PATHS)
def test_own_port(busy_pool, path, code):
    server = serve(HealthCheck(STRICT))
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}{path}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                found = answer.status
        except urllib.error.HTTPError as error:
            found = error.code
            error.close()
    finally:
        server.shutdown()
        server.server_close()
    assert found == code


def test_a_variable_serves_the_health_of_this_process_only(monkeypatch):
    port = free_port()
    monkeypatch.setenv("ASSAY_SNAKEPIT_HEALTH_PORT", str(port))
    SnakepitInstrumentor().instrument()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as answer:
            assert json.load(answer)["status"] == "ok"
        assert "ASSAY_SNAKEPIT_HEALTH_PORT" not in os.environ
    finally:
        SnakepitInstrumentor().uninstrument()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30)


@pytest.mark.parametrize("port", ["web", "99999", "-1"])
def test_a_wrong_port_is_logged(monkeypatch, caplog, port):
    monkeypatch.setenv("ASSAY_SNAKEPIT_HEALTH_PORT", port)
    SnakepitInstrumentor().instrument()
    SnakepitInstrumentor().uninstrument()
    assert "the health of the pools is not served" in caplog.text
