"""Names of series follow OpenTelemetry's rules."""

import pytest

from assay.semconv import CATALOGUE
from assay.semconv.prometheus import label_name, series_name


@pytest.mark.parametrize(
    ("name", "unit", "instrument", "series"),
    [
        ("a.b", "{thing}", "gauge", "a_b"),
        ("a.b", "1", "gauge", "a_b_ratio"),
        ("a.b", "1", "counter", "a_b_total"),
        ("a.total", "{thing}", "counter", "a_total"),
        ("a.size_bytes", "By", "counter", "a_size_bytes_total"),
        ("a.duration", "ms", "histogram", "a_duration_milliseconds"),
        ("a.duration", "s", "histogram", "a_duration_seconds"),
    ],
)
def test_names_of_series(name, unit, instrument, series):
    assert series_name(name, unit, instrument) == series


def test_the_python_exporter_agrees():
    """The in-process exporter serves every metric under the name that the registry gives."""
    exporter = pytest.importorskip(
        "opentelemetry.exporter.prometheus", reason="the exporter is not installed"
    )
    from opentelemetry.sdk.metrics import MeterProvider
    from prometheus_client import REGISTRY, generate_latest

    reader = exporter.PrometheusMetricReader()
    provider = MeterProvider([reader])
    meter = provider.get_meter("test")
    try:
        for metric in CATALOGUE.metrics.values():
            make = getattr(meter, f"create_{metric.instrument}")
            instrument = make(metric.name, metric.unit)
            record = {"counter": "add", "gauge": "set", "histogram": "record"}[metric.instrument]
            getattr(instrument, record)(1)
        served = generate_latest(REGISTRY).decode()
    finally:
        provider.shutdown()
    suffix = {"histogram": "_count"}
    for metric in CATALOGUE.metrics.values():
        assert f"\n{metric.series}{suffix.get(metric.instrument, '')}{{" in served, metric.name


@pytest.mark.parametrize(
    ("key", "label"),
    [
        ("asset", "asset"),
        ("http.route", "http_route"),
        ("1st", "key_1st"),
        ("__name__", "key__name__"),
        ("", ""),
    ],
)
def test_a_label_is_one_that_prometheus_accepts(key, label):
    assert label_name(key) == label
