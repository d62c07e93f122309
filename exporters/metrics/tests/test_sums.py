"""Counters and histograms of many processes are added up, each count once."""

import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.exporters.metrics import MetricsError
from assay.exporters.metrics._points import read_points
from assay.exporters.metrics._processes import STARTS
from assay.exporters.metrics._store import Limits, SeriesStore
from assay.host import Retry

from .conftest import DELTA, Sender

LIMITS = Limits(series=100, process_seconds=3600, series_seconds=86400, zero_seconds=0)
DAY = 86400


def points(batch):
    return list(read_points(batch.request))


def total(store):
    (series,) = store.snapshot(scraper=False)
    return series.total


@pytest.fixture
def store(tmp_path):
    opened = SeriesStore(tmp_path / "metrics.db", LIMITS)
    yield opened
    opened.close()


def test_processes_add_up_to_one_series_without_an_instance(exporter):
    for number in range(5):
        exporter.send(Sender(f"i-{number}").counter(2, channel="till"))
    assert exporter.page().samples == {("shop_orders_total", ("channel", "till"), ("job", "shop")): 10}


def test_histograms_add_up(exporter):
    exporter.send(Sender("a").histogram([1, 2, 0], 120), Sender("b").histogram([0, 1, 4], 2000.5))
    page = exporter.page()
    name = "shop_delay_milliseconds"
    buckets = {
        dict(labels)["le"]: value for (found, *labels), value in page.samples.items() if "bucket" in found
    }
    assert buckets == {"10.0": 1, "100.0": 4, "+Inf": 8}
    assert (page[f"{name}_count"], page[f"{name}_sum"]) == (8, 2120.5)


def test_other_bounds_are_fitted_into_the_first_ones(exporter):
    exporter.send(
        Sender("a").histogram([1, 0, 0], 5), Sender("b").histogram([1, 1, 1, 1], 400, bounds=(5, 50, 300))
    )
    page = exporter.page()
    buckets = [value for (found, *_), value in page.samples.items() if found.endswith("_bucket")]
    assert buckets == [2, 3, 5]


def test_a_repeated_point_adds_nothing(exporter):
    sender = Sender("a")
    exporter.send(
        sender.counter(3), sender.counter(3), sender.histogram([1, 0, 0], 1), sender.histogram([1, 0, 0], 1)
    )
    page = exporter.page()
    assert (page["shop_orders_total"], page["shop_delay_milliseconds_count"]) == (3, 1)


def test_a_late_point_adds_nothing_and_a_lost_one_costs_nothing(exporter):
    sender = Sender("a")
    exporter.send(sender.counter(2, age=1), sender.counter(9, age=3), sender.counter(5, age=2))
    assert exporter.page()["shop_orders_total"] == 9


def test_the_same_instance_counts_again_after_a_new_start(exporter):
    exporter.send(Sender("a", start=time.time() - 60).counter(4), Sender("a").counter(1))
    assert exporter.page()["shop_orders_total"] == 5


def test_two_scopes_of_one_process_are_two_writers(exporter):
    sender = Sender("a")
    once = sender.counter(1)
    other = sender.counter(1)
    other.request.resource_metrics[0].scope_metrics[0].scope.name = "other"
    exporter.send(once, other)
    assert exporter.page()["shop_orders_total"] == 2


def test_an_attribute_that_a_collector_adds_does_not_make_another_process(exporter):
    sender = Sender("a")
    exporter.send(sender.counter(1))
    sender.resource["k8s.pod.name"] = "p"
    exporter.send(sender.counter(1))
    assert exporter.page()["shop_orders_total"] == 1


def test_deltas_count_once_in_any_order(exporter):
    start = time.time()
    first, second = (Sender("a", start=start + age, temporality=DELTA).counter(2) for age in (0, 1))
    exporter.send(second, first, second, first)
    assert exporter.page()["shop_orders_total"] == 4


def test_a_long_delta_stream_needs_bounded_space(store, tmp_path):
    for age in range(STARTS * 2):
        store.add(points(Sender("a", start=1e9 + age, temporality=DELTA).counter(1)))
    store.add(points(Sender("a", start=1e9, temporality=DELTA).counter(1)))  # repeated, and forgotten
    assert total(store) == (STARTS * 2,)
    (streams,) = store._db.execute("SELECT streams FROM process").fetchone()
    assert streams.count("[") == STARTS + 1


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_order_and_any_repetition_gives_the_same_sum(tmp_path_factory, data):
    senders = [Sender(f"i-{number}", start=1e9) for number in range(3)]
    growth = [data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=5)) for _ in senders]
    sent = [
        sender.counter(value, age=age)
        for sender, steps in zip(senders, growth, strict=True)
        for age, value in enumerate(itertools.accumulate(steps))
    ]
    repeated = data.draw(st.lists(st.sampled_from(sent), max_size=10))
    arrived = data.draw(st.permutations(sent + repeated))
    store = SeriesStore(tmp_path_factory.mktemp("any") / "metrics.db", LIMITS)
    for one in arrived:
        store.add(points(one), now=1e9)
    assert total(store) == (sum(map(sum, growth)),)
    store.close()


def test_sums_survive_a_restart_and_repeated_points_still_add_nothing(running):
    sender = Sender("a")
    with running() as before:
        before.send(sender.counter(3), sender.histogram([1, 2, 0], 120))
        page = before.page().samples
    with running() as after:
        assert after.page().samples == page
        after.send(sender.counter(3), sender.histogram([1, 2, 0], 120))
        assert after.page().samples == page
        after.send(sender.counter(5))
        assert after.page()["shop_orders_total"] == 5


def test_a_batch_that_cannot_be_written_is_asked_for_again_and_is_not_shown(exporter):
    sender = Sender("a")
    exporter.send(sender.counter(1))
    store = exporter._exporter._store
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # a full disk
    many = [Sender(f"i-{number}").counter(1, channel="c" * 2000 + str(number)) for number in range(20)]
    with pytest.raises(Retry, match="full"):
        exporter.send(*many)
    shown = exporter.page().samples
    store._db.execute(f"PRAGMA max_page_count = {pages + 1000}")
    exporter.send(*many)
    page = exporter.page()
    assert sum(page.samples.values()) == 21
    assert len(shown) < len(page.samples)


def test_a_forgotten_process_is_not_counted_again(store):
    now = time.time()
    sender = Sender("a", start=now)
    store.add(points(sender.counter(3, age=60)), now=now + 60)
    store.prune(now=now + 8000, running=8000)
    assert store.counts() == (1, 0)
    store.add(points(sender.counter(5, age=8000)), now=now + 8000)
    store.add(points(sender.counter(6, age=8060)), now=now + 8060)
    assert total(store) == (4,)


def test_a_short_process_whose_point_waited_in_a_queue_is_counted(store):
    now = time.time()
    store.add(points(Sender("a", start=now - 2 * DAY).counter(1)), now=now)
    assert total(store) == (1,)


def test_nothing_is_forgotten_while_the_exporter_was_down(tmp_path):
    now = time.time()
    sender = Sender("a")
    store = SeriesStore(tmp_path / "metrics.db", LIMITS)
    store.add(points(sender.counter(1)), now=now)
    store.close()
    store = SeriesStore(tmp_path / "metrics.db", LIMITS)
    store.prune(now=now + DAY)
    store.add(
        points(sender.counter(1)), now=now + DAY
    )  # its answer was lost, so the Collector sends it again
    assert total(store) == (1,)
    store.close()


def test_a_series_that_no_process_reports_is_removed_after_a_while(store):
    now = time.time()
    store.add(points(Sender("a").counter(1)), now=now)
    store.prune(now=now + 2 * DAY, running=100 * DAY)
    assert store.snapshot(scraper=False) == []
    store.add(points(Sender("b").counter(1)), now=now + 2 * DAY)
    assert total(store) == (1,)


def test_without_a_start_a_smaller_value_is_a_restart(store):
    def sent(value, age):
        batch = Sender("a").counter(value, age=age)
        batch.request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[
            0
        ].start_time_unix_nano = 0
        return points(batch)

    for value, age in ((5, 1), (7, 2), (6, 1.5), (2, 3)):
        store.add(sent(value, age))
    assert total(store) == (9,)


def test_further_series_than_allowed_are_dropped_and_known_ones_go_on(running):
    with running(series=2) as exporter:
        for channel in "abc":
            exporter.send(Sender("i").counter(1, channel=channel))
        exporter.send(Sender("j").counter(1, channel="a"))
        assert sum(exporter.page().samples.values()) == 3


def test_a_metric_of_another_kind_under_a_known_name_is_dropped(exporter):
    exporter.send(Sender("a").counter(1, name="shop.x"), Sender("a").gauge(7, name="shop.x.total"))
    assert exporter.page().samples == {("shop_x_total", ("job", "shop")): 1}
    exporter.send(Sender("b").counter(1, name="shop.x"))
    assert exporter.page()["shop_x_total"] == 2


@pytest.mark.parametrize("buckets", [[1, 1], [1, 1, 1, 1]])
def test_a_histogram_that_contradicts_itself_is_dropped(exporter, buckets):
    exporter.send(Sender("a").histogram(buckets, 5))
    assert exporter.page().samples == {}


def test_one_file_belongs_to_one_exporter(running):
    with running(), pytest.raises(MetricsError, match="one exporter can use a file at a time"), running():
        pass


def test_a_file_that_is_not_a_database_is_named(running, tmp_path):
    (tmp_path / "metrics.db").write_text("no database" * 1000)
    with pytest.raises(MetricsError, match=r"metrics\.db"), running():
        pass


def test_big_numbers_stay_exact(exporter):
    exporter.send(*(Sender(name).counter(2**62 + 1) for name in "abcd"))
    (row,) = exporter._exporter._store._db.execute("SELECT total FROM series").fetchone()
    assert row == f"[{2**64 + 4}]"


def test_a_scrape_that_the_database_fails_is_answered_with_503(exporter):
    exporter.send(Sender("a").counter(1))
    store = exporter._exporter._store
    store._db.execute("BEGIN IMMEDIATE")  # a transaction cannot start within another
    assert exporter.get(**{"x-prometheus-scrape-timeout-seconds": "1"}).status_code == 503
    store._db.execute("ROLLBACK")
    assert exporter.scrape()["shop_orders_total"] == 0
