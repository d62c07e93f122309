"""Several bridges in one process: side by side, one after another, and with another process that records."""

from __future__ import annotations

import gc
import inspect
import linecache
import threading

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from assay.semconv.catalogue import Catalogue, Event, Span
from assay.telemetry import execute, list_handlers, set_rate, span
from assay.telemetry.bridge import (
    Defaults,
    Scope,
    attached,
    before_collection,
    defaults,
    record,
    relay_recordings,
    set_defaults,
)
from assay.telemetry.errors import BridgeConflictError

OTHER = Catalogue(
    spans={"g.work": Span("g.work")}, events={"g.failed": Event("g.failed", severity="error", body="Failed")}
)


@pytest.fixture
def second(new_telemetry):
    return new_telemetry(OTHER, scope=Scope("g", "1.2", "https://example.org/schema"))


def test_each_has_its_own_providers_and_one_that_goes_leaves_the_others(otel, second):
    with span("f.make"), span("g.work"):
        pass
    assert [s.name for s in otel.spans] == ["f.make"]
    assert [s.name for s in second.spans] == ["g.work"]
    assert second.span("g.work").parent.span_id == otel.span("f.make").context.span_id
    otel.bridge.detach()
    assert attached() == (second.bridge,)
    with span("f.make"), span("g.work"):
        pass
    assert (len(otel.spans), len(second.spans)) == (1, 2)


def test_the_scope_is_that_of_the_instrumentation(second):
    with span("g.work"):
        execute("g.failed")
    for scope in (
        second.spans[0].instrumentation_scope,
        second.logs_exporter.get_finished_logs()[0].instrumentation_scope,
    ):
        assert (scope.name, scope.version, scope.schema_url) == ("g", "1.2", "https://example.org/schema")


def test_each_exempts_its_own_errors_from_sampling(otel, second, seen):
    set_rate("*", 1e-9)
    execute("g.failed")
    execute("f.approved", None, {"asset": "x"})
    execute("f.note")
    second.bridge.detach()
    execute("g.failed")
    execute("f.approved", None, {"asset": "x"})
    assert seen.names == ["g.failed", "f.approved", "f.approved"]


def test_two_that_handle_one_event_are_refused(otel):
    other = otel.make_bridge()
    with pytest.raises(BridgeConflictError, match="another bridge handles this event"):
        other.attach()
    other.detach()
    assert attached() == (otel.bridge,)
    otel.bridge.detach()
    assert (list_handlers(), attached()) == ([], ())
    other.attach()
    with span("f.make"):
        pass
    assert otel.span("f.make")


def test_a_bridge_that_comes_back_goes_on_counting(otel):
    execute("f.make.stop", {"duration": 1}, {"asset": "x"})
    for _ in range(2):
        otel.bridge.detach()
        otel.bridge = otel.make_bridge()
        otel.bridge.attach()
        execute("f.make.stop", {"duration": 1}, {"asset": "x"})
    assert otel.values("f.make.count") == {(("asset", "x"),): 3}
    assert otel.points("f.make.duration")[0].count == 3


class TestDetachedInsideASpan:
    def test_the_span_ends_in_its_own_thread(self, otel):
        entered, leave, found = threading.Event(), threading.Event(), []

        def work():
            with span("f.make", asset="x") as one:
                one.measurements["size"] = 7
                entered.set()
                leave.wait(10)
            found.append(trace.get_current_span())

        thread = threading.Thread(target=work)
        thread.start()
        entered.wait(10)
        otel.bridge.detach()
        leave.set()
        thread.join()
        assert found == [trace.INVALID_SPAN]
        assert otel.span("f.make").attributes["f.size"] == 7
        assert otel.values("f.make.count") == {}
        assert list_handlers() == []

    def test_it_ends_once_if_another_bridge_came_meanwhile(self, otel):
        with span("f.make"):
            otel.bridge.detach()
            otel.bridge = otel.make_bridge()
            otel.bridge.attach()
        assert otel.span("f.make")
        assert otel.values("f.make.count") == {(("asset", "unknown"),): 1}

    def test_spans_that_start_afterwards_are_nobody_s(self, otel):
        with span("f.make"):
            otel.bridge.detach()
            with span("f.make"):
                pass
        assert len(otel.spans) == 1


class TestRelay:
    def test_another_process_records(self, otel):
        relayed = []
        relay_recordings(lambda event, measurements, metadata, context: relayed.append((event, context)))
        with span("f.make", asset="x"):
            pass
        made = otel.span("f.make")
        assert [event for event, _ in relayed] == ["f.make.start", "f.make.stop"]
        assert {trace.get_current_span(c).get_span_context().span_id for _, c in relayed} == {
            made.context.span_id
        }
        assert otel.points("f.make.count") == otel.points("f.make.duration") == []
        assert [log.event_name for log in otel.logs] == ["f.make.start", "f.make.stop"]

    def test_it_holds_for_a_bridge_that_is_attached_later(self, new_telemetry, catalogue):
        relayed = []
        relay_recordings(lambda event, *_: relayed.append(event))
        telemetry = new_telemetry(catalogue)
        execute("f.make.stop", {"duration": 1}, {"asset": "x"})
        assert relayed == ["f.make.stop"]
        assert telemetry.points("f.make.count") == []

    def test_the_other_process_records_and_emits_nothing_else(self, otel, second):
        record("f.make.stop", {"duration": 1_000_000}, {"asset": "x"})
        record("nobody.knows", {}, {})
        assert otel.values("f.make.count") == {(("asset", "x"),): 1}
        assert not otel.spans
        assert not otel.logs

    def test_a_bridge_that_does_not_record_creates_no_instruments(self, new_telemetry, catalogue):
        telemetry = new_telemetry(catalogue, records=False)
        with span("f.make", asset="x"):
            pass
        assert telemetry.span("f.make")
        assert telemetry.reader.get_metrics_data() is None


def test_defaults_have_the_generated_catalogue(catalogue):
    assert "flowstone.run" in defaults().catalogue.spans
    assert defaults().records
    set_defaults(Defaults(catalogue, records=False))
    assert (defaults().catalogue, defaults().records) == (catalogue, False)
    set_defaults(None)
    assert defaults().records


def test_generated_source_lives_as_long_as_its_handler(otel):
    before = len(_generated())
    with span("f.make"):
        execute("f.note")
    assert len(_generated()) > before
    [handler] = [h.handler for h in list_handlers("f.note")]
    assert "def on_event(" in inspect.getsource(handler)
    del handler
    otel.bridge.detach()
    gc.collect()
    assert len(_generated()) <= before


def _generated():
    return [name for name in linecache.cache if name.startswith("<assay.telemetry on_")]


def test_a_span_s_name_may_be_filled_in(new_telemetry):
    telemetry = new_telemetry(Catalogue(spans={"g.run": Span("g.run", kind="server", name="RUN {job}")}))
    with span("g.run", job="nightly"):
        pass
    with span("g.run"):
        pass
    first, second = telemetry.spans
    assert (first.name, second.name) == ("RUN nightly", "RUN")
    assert first.attributes["assay.span.event"] == "g.run"
    assert first.kind is SpanKind.SERVER


def test_counters_show_what_an_event_counts_at_each_collection(otel):
    before_collection("f.make.stop", lambda: execute("f.make.stop", None, {"asset": "a"}), otel.meters)
    for expected in (1, 2):
        (point,) = otel.points("f.make.count")
        assert point.value == expected


def test_gauges_show_what_an_event_says_at_each_collection(otel):
    health = iter([True, False])
    before_collection("f.health", lambda: execute("f.health", {"healthy": next(health)}), otel.meters)

    for expected in (1, 0):
        (point,) = otel.points("f.healthy")
        assert point.value == expected
