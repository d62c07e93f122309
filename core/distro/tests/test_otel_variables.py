"""The `OTEL_*` variables: their defaults, and the corrections of wrong values."""

from __future__ import annotations

import os

import pytest
from opentelemetry.util._importlib_metadata import entry_points

from assay.distro import _otel_variables
from assay.distro._otel_variables import corrections, environment, set_defaults


@pytest.fixture(autouse=True)
def _empty_environment(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("OTEL_", "ASSAY_")):
            monkeypatch.delenv(name)
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_the_defaults_are_valid():
    set_defaults()
    assert corrections() == ({}, [])
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"


def test_grpc_has_its_own_default_endpoint(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    set_defaults()
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"


def test_a_signal_with_its_own_protocol_has_the_port_of_that_protocol(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    set_defaults()
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert os.environ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == "http://127.0.0.1:4317"
    assert "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT" not in os.environ


def test_its_http_endpoint_includes_the_path(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "http/protobuf")
    set_defaults()
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4317"
    assert os.environ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"] == "http://127.0.0.1:4318/v1/logs"


def test_grpc_that_is_not_installed_is_reported_and_http_used(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc")
    set_defaults()
    monkeypatch.setattr(_otel_variables, "entry_points", _without_grpc)
    changes, (error,) = corrections()
    assert changes == {
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": None,
    }
    assert "pip install 'assay-distro[grpc]'" in str(error)


def _without_grpc(**wanted: str):
    return [entry for entry in entry_points(**wanted) if entry.name != "otlp_proto_grpc"]


@pytest.mark.parametrize(
    ("given", "changes", "named"),
    [
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "100"}, []),
        (
            {"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "5000"},
            {"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "2048"},
            ["OTEL_BLRP_MAX_EXPORT_BATCH_SIZE"],
        ),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "5000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "5000"}, {}, []),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "none"},
            {"OTEL_EXPORTER_OTLP_COMPRESSION": None},
            [],
        ),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": "deflate"},
            {"OTEL_EXPORTER_OTLP_LOGS_COMPRESSION": None},
            ["OTEL_EXPORTER_OTLP_LOGS_COMPRESSION"],
        ),
        ({"OTEL_EXPORTER_OTLP_COMPRESSION": "deflate"}, {}, []),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, {}, []),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": "localhost"},
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317"},
            ["OTEL_EXPORTER_OTLP_ENDPOINT"],
        ),
        (
            {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "localhost:4318"},
            {"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": None},
            ["OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"],
        ),
        (
            {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "hots, process"},
            {"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "process"},
            ["OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"],
        ),
        ({"OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "*"}, {}, []),
    ],
)
def test_values_that_stop_the_sdk_are_corrected(monkeypatch, given, changes, named):
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    set_defaults()
    found, errors = corrections()
    assert (found, [error.name for error in errors]) == (changes, named)


def test_an_error_names_the_value_that_is_used(monkeypatch):
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "bogus,console,prometheus")
    set_defaults()
    changes, (error,) = corrections()
    assert changes == {"OTEL_METRICS_EXPORTER": "console,assay_prometheus"}
    assert str(error).endswith("Using console, prometheus.")


def test_set_variables_stay(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "https://example.org")
    set_defaults()
    assert os.environ["OTEL_TRACES_EXPORTER"] == "console"
    assert os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "https://example.org"


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("OTEL_TRACES_EXPORTER", "oltp", "otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", "carrier pigeon", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "ten", None),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli", None),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "70000", None),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0", None),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "-1", None),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both", None),
    ],
)
def test_a_wrong_value_is_reported_and_replaced(monkeypatch, name, value, becomes):
    monkeypatch.setenv(name, value)
    set_defaults()
    changes, (error,) = corrections()
    assert changes == {name: becomes}
    assert error.name == name
    assert repr(value) in str(error)


def test_prometheus_means_our_reader_beside_otlp(monkeypatch):
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "otlp, prometheus")
    set_defaults()
    assert corrections() == ({"OTEL_METRICS_EXPORTER": "otlp,assay_prometheus"}, [])


def test_the_environment_is_restored(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    with environment({"OTEL_TRACES_EXPORTER": None, "OTEL_LOGS_EXPORTER": "none"}):
        assert "OTEL_TRACES_EXPORTER" not in os.environ
        assert os.environ["OTEL_LOGS_EXPORTER"] == "none"
    assert os.environ["OTEL_TRACES_EXPORTER"] == "console"
    assert "OTEL_LOGS_EXPORTER" not in os.environ
