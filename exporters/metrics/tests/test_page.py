"""`/metrics`: what Prometheus gets, and what a person sees."""

import time

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics

from assay.exporters.metrics import Settings
from assay.exporters.metrics._current import CurrentValues
from assay.exporters.metrics._points import read_points
from assay.semconv.catalogue import Catalogue
from assay.semconv.prometheus import series_name
from assay.semconv.registry import extended

from .conftest import SCRAPER, Sender


def test_prometheus_gets_a_new_series_as_0_first(running):
    with running(zero_seconds=0) as exporter:
        exporter.send(Sender("a").counter(3), Sender("a").histogram([1, 0, 0], 5))
        assert set(exporter.scrape().samples.values()) == {0}
        page = exporter.scrape()
    assert (page["shop_orders_total"], page["shop_delay_milliseconds_count"]) == (3, 1)


def test_a_new_series_stays_0_for_every_scraper(running):
    with running(zero_seconds=3600) as exporter:
        exporter.send(Sender("a").counter(3))
        assert [exporter.scrape()["shop_orders_total"] for _ in range(3)] == [0, 0, 0]


def test_a_person_sees_the_value_and_takes_no_0_from_prometheus(running):
    with running(zero_seconds=0) as exporter:
        exporter.send(Sender("a").counter(3))
        assert [exporter.page()["shop_orders_total"] for _ in range(2)] == [3, 3]
        assert exporter.scrape()["shop_orders_total"] == 0


def test_a_series_that_prometheus_knows_is_never_0_again(running):
    with running(zero_seconds=0) as exporter:
        exporter.send(Sender("a").counter(3))
        exporter.scrape()
        assert exporter.scrape()["shop_orders_total"] == 3
    with running(zero_seconds=3600) as exporter:
        assert exporter.scrape()["shop_orders_total"] == 3


def test_exemplars_are_on_the_openmetrics_page(exporter):
    exporter.send(Sender("a").histogram([0, 1, 0], 50))
    text = exporter.get(accept="application/openmetrics-text; version=1.0.0").text
    samples = [sample for family in open_metrics(text) for sample in family.samples if sample.exemplar]
    assert [(sample.labels["le"], sample.exemplar.value) for sample in samples] == [("100.0", 50)]
    assert samples[0].exemplar.labels == {"trace_id": "01" * 16, "span_id": "02" * 8}


def test_a_gauge_shows_the_newest_value_of_all_processes(exporter):
    exporter.send(Sender("a").gauge(1, age=0), Sender("b").gauge(2, age=1), Sender("c").gauge(3, age=-1))
    assert exporter.page().samples == {("shop_open", ("job", "shop")): 2}


def test_sums_that_rise_and_fall_are_those_of_all_processes(exporter):
    exporter.send(Sender("a").active(2), Sender("b").active(5))
    assert exporter.page()["shop_active"] == 7


def gauges(current, now):
    return [(one.family.name, one.value) for one in current.snapshot(now=now)]


def test_gauges_go_when_their_process_goes():
    now = time.time()
    current = CurrentValues(limit=10, expire_seconds=150)
    current.add(read_points(Sender("a", start=now).gauge(1).request), now=now)
    current.add(read_points(Sender("a", start=now).active(4).request), now=now)
    current.add(read_points(Sender("b", start=now).active(1).request), now=now + 100)
    assert gauges(current, now + 149) == [("shop_open", 1), ("shop_active", 5)]
    assert gauges(current, now + 151) == [("shop_active", 1)]
    assert gauges(current, now + 300) == []


def test_gauges_that_waited_in_a_queue_do_not_return_from_the_dead():
    now = time.time()
    current = CurrentValues(limit=10, expire_seconds=150)
    assert current.add(read_points(Sender("a", start=now - 3600).gauge(1).request), now=now) == 0
    assert gauges(current, now) == []


def test_gauges_are_bounded_and_ended_processes_make_room():
    now = time.time()
    current = CurrentValues(limit=2, expire_seconds=10)
    for name, refused in (("a", 0), ("b", 0), ("c", 1), ("d", 1)):
        assert current.add(read_points(Sender(name, start=now).gauge(1).request), now=now) == refused
    assert current.add(read_points(Sender("e", start=now + 60).gauge(1).request), now=now + 60) == 0


@pytest.mark.parametrize("catalogue", [extended()])
def test_the_registrys_metrics_have_its_names(catalogue: Catalogue):
    assert catalogue.metrics
    for metric in catalogue.metrics.values():
        assert series_name(metric.name, metric.unit, metric.instrument) == metric.series


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.text(max_size=5), key=st.text(max_size=5), value=st.text(max_size=5))
def test_no_name_and_no_label_breaks_the_page(exporter, name, key, value):
    exporter.send(Sender("a").counter(1, name=name, **{key: value} if key not in {"name", "age"} else {}))
    exporter.page()


def test_a_metric_without_a_name_that_prometheus_accepts_is_dropped(exporter):
    exporter.send(Sender("a").gauge(1, name="!"), Sender("a").counter(1, **{"": "x"}), Sender("a").counter(1))
    assert exporter.page().samples == {("shop_orders_total", ("job", "shop")): 1}


def test_a_scraper_must_present_the_token(running):
    with running(token="a-token-for-a-test") as exporter:
        assert exporter.get().status_code == 401
        assert exporter.get(authorization="Bearer another-token").status_code == 401
        assert exporter.get(authorization="Bearer a-token-for-a-test").status_code == 200


def test_beyond_loopback_a_token_is_required(tmp_path):
    with pytest.raises(ValueError, match="add token"):
        Settings(database=tmp_path / "metrics.db", address="0.0.0.0:8889")
    Settings(database=tmp_path / "metrics.db", address="0.0.0.0:8889", token="a-token-for-a-test")


def test_other_paths_and_methods_are_refused(exporter):
    host, port = exporter._exporter.address
    assert requests.get(f"http://{host}:{port}/", timeout=30).status_code == 404
    assert requests.post(f"http://{host}:{port}/metrics", headers=SCRAPER, timeout=30).status_code == 405
