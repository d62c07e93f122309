"""What ends a span, what does not, and what is current afterwards."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk._logs import LogRecordProcessor
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

from assay.semconv.catalogue import Attribute, Catalogue, Event, Metric, Recording, Span
from assay.telemetry import execute, span
from assay.telemetry._bridge import open_spans as table
from assay.telemetry._bridge.open_spans import open_spans


class Unprintable:
    def __str__(self):
        raise RuntimeError("unprintable")


class RaisingSpans(SpanProcessor):
    def on_end(self, span):
        raise RuntimeError("on_end")


class RaisingLogs(LogRecordProcessor):
    def on_emit(self, log_record):
        raise RuntimeError("on_emit")

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30000):
        return True


def assert_nothing_is_open_or_current():
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert len(open_spans("f.make")) == 0


class TestTheEndComesFirst:
    def test_with_a_span_processor_that_raises(self, otel, seen):
        otel.tracers.add_span_processor(RaisingSpans())
        with span("f.make", asset="x"):
            pass
        assert_nothing_is_open_or_current()
        assert otel.span("f.make").end_time
        assert otel.values("f.make.count") == {(("asset", "x"),): 1}
        assert [log.event_name for log in otel.logs] == ["f.make.start", "f.make.stop"]
        assert "telemetry.handler.failure" in seen.names

    def test_with_a_log_processor_that_raises(self, otel):
        otel.loggers.add_log_record_processor(RaisingLogs())
        with span("f.make", asset="x"):
            pass
        assert_nothing_is_open_or_current()
        assert otel.span("f.make")

    @pytest.mark.parametrize("duration", ["soon", math.nan, math.inf, None, [1], Unprintable()])
    def test_with_a_duration_that_is_not_a_number(self, otel, duration):
        with span("f.make") as one:
            one.measurements["duration"] = duration
        assert_nothing_is_open_or_current()
        assert otel.span("f.make").end_time
        execute("f.make.stop", {"duration": duration}, {"asset": "x"})
        assert len(otel.spans) == 1

    def test_with_values_that_have_no_text(self, otel):
        with suppress(LookupError), span("f.make", asset=Unprintable()) as one:
            one.measurements["size"] = Unprintable()
            one.metadata["run_id"] = Unprintable()
            raise LookupError
        assert_nothing_is_open_or_current()
        attributes = otel.span("f.make").attributes
        assert attributes["f.asset"] == attributes["f.run"] == attributes["f.size"] == "[UNREADABLE]"
        assert otel.values("f.make.errors") == {(("error_type", "LookupError"),): 1}

    def test_the_audit_record_is_written_though_the_exporters_fail(self, new_telemetry, catalogue):
        seen_in = []
        telemetry = new_telemetry(
            Catalogue(
                spans={"f.make": catalogue.spans["f.make"]},
                events={"f.make.stop": Event("f.make.stop", audit=catalogue.events["f.approved"].audit)},
            ),
            audit=lambda *_args, **_kwargs: seen_in.append(trace.get_current_span()),
        )
        telemetry.tracers.add_span_processor(RaisingSpans())
        telemetry.loggers.add_log_record_processor(RaisingLogs())
        with span("f.make", asset="x"):
            pass
        assert [one.get_span_context().span_id for one in seen_in] == [
            telemetry.span("f.make").context.span_id
        ]


class TestWhatIsCurrent:
    def test_a_context_that_was_attached_inside_and_not_detached_ends_with_the_span(self, otel):
        with span("f.outer"):
            outer = trace.get_current_span()
            with span("f.make"):
                otel_context.attach(baggage.set_baggage("leaked", "1"))
            assert trace.get_current_span() is outer
            with span("f.make"):
                pass
        first, second, _ = otel.spans
        assert first.parent.span_id == second.parent.span_id == outer.get_span_context().span_id
        assert_nothing_is_open_or_current()

    def test_a_task_that_outlives_its_span_keeps_its_own_context(self, otel):
        async def late(started, ended):
            otel_context.attach(baggage.set_baggage("mine", "1"))
            started.set()
            await ended.wait()
            with span("f.make"):
                return baggage.get_baggage("mine")

        async def main():
            started, ended = asyncio.Event(), asyncio.Event()
            with span("f.outer"):
                task = asyncio.create_task(late(started, ended))
                await started.wait()
            ended.set()
            return await task

        assert asyncio.run(main()) == "1"
        assert otel.span("f.make").parent is None

    def test_somebody_else_s_span_stays_the_parent_when_ours_around_it_has_ended(self, otel):
        execute("f.outer.start", None, {"telemetry_span_context": "a"})
        with otel.tracers.get_tracer("app").start_as_current_span("app") as app:
            context = otel_context.get_current()
            otel_context.attach(otel_context.Context())
            execute("f.outer.stop", {"duration": 1}, {"telemetry_span_context": "a"})
            otel_context.attach(context)
            with span("f.make"):
                pass
        assert otel.span("f.make").parent.span_id == app.get_span_context().span_id


class TestKeys:
    def test_an_emitter_that_uses_a_key_twice_ends_both_spans(self, otel):
        for name in ("outer", "inner"):
            execute("f.make.start", None, {"telemetry_span_context": 1, "asset": name})
        for name in ("inner", "outer"):
            execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": 1, "asset": name})
        assert [s.attributes["f.asset"] for s in otel.spans] == ["inner", "outer"]
        assert {s.status.status_code for s in otel.spans} == {StatusCode.UNSET}
        assert_nothing_is_open_or_current()

    def test_a_foreign_key_does_not_meet_ours(self, otel):
        with span("f.make", asset="ours"):
            for number in range(3):
                execute("f.make.start", None, {"telemetry_span_context": number, "asset": "theirs"})
                execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": number})
        assert len(otel.spans) == 4
        assert all(s.status.status_code is StatusCode.UNSET for s in otel.spans)

    def test_one_span_entered_twice_leaks_none(self, otel):
        twice = span("f.make")
        with twice, twice:
            pass
        assert len(otel.spans) == 2
        assert_nothing_is_open_or_current()


class TestLostEnds:
    def test_they_do_not_pile_up_and_a_span_is_exported_once(self, otel):
        open_spans("f.make").limit = 10
        otel.bridge._forget_handlers()
        for number in range(25):
            execute("f.make.start", None, {"telemetry_span_context": number})
        assert len(open_spans("f.make")) == 10
        assert len(otel.spans) == 15
        assert "was not emitted" in otel.spans[0].status.description
        for number in range(25):
            execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": number, "asset": "x"})
        assert len(otel.spans) == 25
        assert otel.values("f.make.count") == {(("asset", "x"),): 25}
        assert not open_spans("f.make").evicted

    def test_the_memory_of_them_is_bounded(self, otel, monkeypatch):
        monkeypatch.setattr(table, "EVICTED_LIMIT", 5)
        open_spans("f.make").limit = 1
        otel.bridge._forget_handlers()
        for number in range(20):
            execute("f.make.start", None, {"telemetry_span_context": number})
        assert len(open_spans("f.make").evicted) <= 5


class TestStatus:
    @pytest.mark.parametrize("raised", [SystemExit(0), GeneratorExit(), asyncio.CancelledError()])
    def test_an_end_that_is_not_an_error_sets_none(self, otel, raised):
        with pytest.raises(type(raised)), span("f.make"):
            raise raised
        made = otel.span("f.make")
        assert made.status.status_code is StatusCode.UNSET
        assert not made.events
        assert "error.type" not in made.attributes

    def test_a_failure_is_recorded_as_an_exception_once(self, otel):
        with pytest.raises(LookupError), span("f.outer"), span("f.make"):
            raise LookupError("gone")
        make, outer = otel.span("f.make"), otel.span("f.outer")
        assert [event.name for event in make.events] == ["exception"]
        assert not outer.events
        assert make.status.status_code is outer.status.status_code is StatusCode.ERROR
        assert outer.attributes["error.type"] == "LookupError"

    def test_another_failure_outside_is_recorded_too(self, otel):
        with suppress(ValueError), span("f.outer"):
            with suppress(LookupError), span("f.make"):
                raise LookupError("gone")
            raise ValueError("wrapped")
        assert [len(s.events) for s in otel.spans] == [1, 1]

    def test_a_failure_without_an_exception_has_no_exception_event(self, otel):
        with span("f.make") as one:
            one.fail("no quota", kind="Quota")
        assert not otel.span("f.make").events

    @pytest.mark.parametrize(
        ("opt_in", "on_span", "on_log"), [("", 1, 0), ("logs", 0, 1), ("logs/dup", 1, 1)]
    )
    def test_the_opt_in_decides_where_exceptions_are(self, otel, monkeypatch, opt_in, on_span, on_log):
        monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)
        with pytest.raises(LookupError), span("f.make"):
            raise LookupError("password=hunter2")
        assert len(otel.span("f.make").events) == on_span
        log = otel.logs[-1].attributes
        assert ("exception.stacktrace" in log) == bool(on_log)
        if on_log:
            assert (log["exception.type"], log["error.type"]) == ("LookupError", "LookupError")
            assert "hunter2" not in str(dict(log))


@pytest.mark.parametrize("constant", [math.inf, -math.inf, math.nan])
def test_a_registry_s_constant_may_be_any_number(new_telemetry, seen, constant):
    limit = Attribute("g.limit", "limit", "double", constant=constant)
    recordings = (Recording("g.done", scale=constant),)
    telemetry = new_telemetry(
        Catalogue(
            spans={"g.work": Span("g.work", attributes=(limit,))},
            events={"g.done": Event("g.done", attributes=(limit,))},
            metrics={
                kind: Metric(kind, kind, "1", recordings=recordings)
                for kind in ("gauge", "counter", "histogram")
            },
        )
    )
    with span("g.work"):
        execute("g.done")
    for attributes in (telemetry.span("g.work").attributes, telemetry.logs[0].attributes):
        assert repr(attributes["g.limit"]) == repr(constant)
    assert [telemetry.points(kind) for kind in ("gauge", "counter", "histogram")] == [[], [], []]
    assert "telemetry.handler.failure" not in seen.names
