"""OTLP/HTTP exporters that are created with their first batch."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import Counter
from opentelemetry.sdk.metrics.export import AggregationTemporality

from assay.distro import otlp_http
from assay.distro._collection import paused
from assay.distro.otlp_http import DeferredMetricExporter, DeferredSpanExporter, selected

WHAT_A_PROCESS_LOADED = """
import sys
print(sorted({"requests", "urllib3", "google.protobuf"} & sys.modules.keys()))
"""
SENDING = """
import sys
from assay.distro import flush
from assay.telemetry import span

with span("flowstone.materialization", asset="orders", run_id="r"):
    pass
print(flush(10))
print("requests" in sys.modules)
"""
SLOW_IMPORT = """
import sys, time


class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "requests":
            time.sleep(6)


sys.meta_path.insert(0, Slow())
"""
A_SPAN = """
from assay.telemetry import span

with span("flowstone.materialization", asset="orders", run_id="r"):
    pass
"""
A_METRIC = """
from opentelemetry.metrics import get_meter

get_meter("shop").create_counter("shop.orders").add(1)
"""
AN_APPLICATION_S_CLIENT = """
import sys
import {client}
print("assay.audit.sessions" in sys.modules)
"""
FORK_DURING_AN_IMPORT = """
import os, threading
from assay.distro import otlp_http

entered, leave = threading.Event(), threading.Event()


def hold():
    with otlp_http._creation:
        entered.set()
        leave.wait(30)


threading.Thread(target=hold).start()
entered.wait(30)
threading.Timer(0.2, leave.set).start()
child = os.fork()
if child == 0:
    os._exit(0 if otlp_http._creation.acquire(timeout=10) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_a_process_that_sends_nothing_loads_no_http_client(instrumented, receiver):
    done = instrumented(WHAT_A_PROCESS_LOADED)
    assert done.stdout == "[]\n", done.stderr
    assert receiver.requests == []


@pytest.mark.slow
def test_the_first_batch_loads_it(instrumented, receiver):
    done = instrumented(SENDING)
    assert done.stdout == "True\nTrue\n", done.stderr
    assert len(receiver.spans()) == 1


@pytest.mark.slow
def test_the_time_for_the_last_export_begins_after_the_import(instrumented, receiver):
    done = instrumented(SLOW_IMPORT + A_SPAN, env={"ASSAY_EXIT_TIMEOUT": "4"})
    assert done.returncode == 0, done.stderr
    assert len(receiver.spans()) == 1


@pytest.mark.slow
def test_the_time_for_the_last_metrics_begins_after_the_import(instrumented, receiver):
    """The process has no span and no log event, with which the exporter's client would be imported."""
    done = instrumented(SLOW_IMPORT + A_METRIC, env={"ASSAY_EXIT_TIMEOUT": "4"})
    assert done.returncode == 0, done.stderr
    assert "shop.orders" in {metric.name for metric in receiver.metrics()}


@pytest.mark.slow
@pytest.mark.parametrize("client", ["requests", "urllib3", "urllib3.connectionpool", "responses"])
def test_the_exporters_session_is_loaded_with_the_application_s_client(instrumented, client):
    done = instrumented(AN_APPLICATION_S_CLIENT.format(client=client))
    assert done.stdout == "True\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_waits_for_the_import_of_an_exporter():
    done = subprocess.run(
        [sys.executable, "-c", FORK_DURING_AN_IMPORT], check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout == "0\n", done.stderr


def test_otlp_over_http_is_deferred_and_other_exporters_are_not(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", raising=False)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp, assay_prometheus")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "console")
    assert selected() == {"OTEL_METRICS_EXPORTER": "assay_otlp_http,assay_prometheus"}


def test_an_exporter_keeps_the_variables_with_which_it_was_configured(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    exporter = DeferredSpanExporter()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:2")
    assert exporter._deferred.exporter()._endpoint == "http://127.0.0.1:1/v1/traces"
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:2"


def test_preferences_for_metrics_are_respected(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta")
    assert DeferredMetricExporter()._preferred_temporality[Counter] == AggregationTemporality.DELTA
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    assert DeferredMetricExporter()._preferred_temporality is None


def test_a_wrong_credential_provider_is_an_error_of_the_configuration(monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "absent")
    with pytest.raises(RuntimeError, match="absent"):
        DeferredSpanExporter()


def test_an_import_of_the_application_does_not_fail_with_the_session_s(monkeypatch):
    monkeypatch.setattr(otlp_http, "_SESSIONS", "absent.module")
    otlp_http._load_session(subprocess)


@pytest.mark.parametrize("is_enabled", [True, False])
def test_the_garbage_collector_is_as_before_after_a_pause(is_enabled):
    (gc.enable if is_enabled else gc.disable)()
    try:
        with paused():
            assert not gc.isenabled()
        assert gc.isenabled() is is_enabled
    finally:
        gc.enable()
