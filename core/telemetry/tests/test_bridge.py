from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from time import time_ns

import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry._logs import Logger
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from assay.semconv.catalogue import Attribute, Audit, Catalogue, Event, Metric, Recording, Span
from assay.telemetry import carry, correlation, execute, redact, set_rate, span
from assay.telemetry._bridge.open_spans import open_spans
from assay.telemetry.errors import PlanError


def inside():
    return trace.get_current_span().get_span_context().span_id


class TestSpans:
    def test_a_span_with_all_its_names(self, otel):
        with correlation("c-1"), span("f.make", asset="x", run_id="r", unknown="?") as s:
            s.measurements["size"] = 7
        made = otel.span("f.make")
        assert dict(made.attributes) == {
            "f.asset": "x",
            "cicd.task": "x",
            "f.run": "r",
            "f.size": 7,
            "assay.correlation_id": "c-1",
        }
        assert made.kind is SpanKind.CLIENT
        assert made.status.status_code is StatusCode.UNSET
        assert made.instrumentation_scope.name == "assay.telemetry"

    def test_its_length_is_the_duration(self, otel, seen):
        with span("f.make"):
            pass
        made = otel.span("f.make")
        assert made.end_time - made.start_time == seen.of("f.make.stop")[0]["duration"]
        assert made.start_time == seen.of("f.make.start")[0]["system_time"]

    def test_it_is_current_and_others_nest(self, otel):
        assert not inside()
        with span("f.outer"):
            outer = inside()
            with otel.tracers.get_tracer("app").start_as_current_span("app"), span("f.make"):
                assert inside() != outer
            assert inside() == outer
        assert not inside()
        assert otel.span("f.make").parent.span_id == otel.span("app").context.span_id
        assert otel.span("app").parent.span_id == otel.span("f.outer").context.span_id

    def test_an_exception(self, otel):
        with pytest.raises(LookupError), span("f.make", asset="x"):
            raise LookupError("password=hunter2")
        made = otel.span("f.make")
        assert made.status.status_code is StatusCode.ERROR
        assert made.attributes["error.type"] == "LookupError"
        [event] = made.events
        assert event.name == "exception"
        assert event.attributes["exception.type"] == "LookupError"
        assert "hunter2" not in str(dict(event.attributes)) + str(made.status.description)
        assert "Traceback" in event.attributes["exception.stacktrace"]

    def test_what_fails_without_an_exception(self, otel):
        with span("f.make") as s:
            s.fail("no quota", kind="Quota")
        made = otel.span("f.make")
        assert (made.attributes["error.type"], made.status.description) == ("Quota", "no quota")

    def test_phases_of_its_own(self, otel):
        execute("f.scatter.start", None, {"telemetry_span_context": 1, "asset": "x"})
        execute("f.scatter.complete", None, {"telemetry_span_context": 1})
        execute("f.scatter.start", None, {"telemetry_span_context": 2, "asset": "y"})
        execute("f.scatter.failed", None, {"telemetry_span_context": 2})
        good, bad = otel.spans
        assert (good.attributes["f.asset"], good.status.status_code) == ("x", StatusCode.UNSET)
        assert (bad.attributes["error.type"], bad.status.status_code) == ("_OTHER", StatusCode.ERROR)

    def test_what_is_learnt_on_the_way_is_kept(self, otel):
        with span("f.make", asset="x") as s:
            s.metadata["run_id"] = "late"
        assert otel.span("f.make").attributes["f.run"] == "late"

    def test_an_end_without_a_start_makes_a_whole_span(self, otel):
        before = time_ns()
        with span("f.outer"):
            execute("f.make.stop", {"duration": 5_000_000, "size": 3}, {"asset": "x"})
        made = otel.span("f.make")
        assert made.end_time - made.start_time == 5_000_000
        assert before <= made.end_time <= time_ns()
        assert (made.attributes["f.asset"], made.attributes["f.size"]) == ("x", 3)
        assert made.parent.span_id == otel.span("f.outer").context.span_id
        assert not inside()

    def test_an_end_that_says_nothing_makes_no_span_but_counts(self, otel):
        execute("f.make.stop", None, {"asset": "x"})
        assert not otel.spans
        assert otel.values("f.make.count") == {(("asset", "x"),): 1}

    def test_spans_that_end_in_another_order_leave_nothing_current(self, otel):
        execute("f.outer.start", None, {"telemetry_span_context": "a"})
        execute("f.make.start", None, {"telemetry_span_context": "b"})
        execute("f.outer.stop", {"duration": 1}, {"telemetry_span_context": "a"})
        execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": "b"})
        assert not inside()
        assert otel.span("f.make").parent.span_id == otel.span("f.outer").context.span_id

    def test_a_span_that_ends_in_another_thread(self, otel):
        execute("f.make.start", None, {"telemetry_span_context": "a"})
        thread = threading.Thread(
            target=execute, args=("f.make.stop", {"duration": 1}, {"telemetry_span_context": "a"})
        )
        thread.start()
        thread.join()
        assert otel.span("f.make")

    def test_threads(self, otel):
        with span("f.outer"), ThreadPoolExecutor(4) as pool:
            list(pool.map(carry(lambda _: span("f.make")(inside)()), range(20)))
            assert inside()
        outer = otel.span("f.outer").context.span_id
        assert {s.parent.span_id for s in otel.spans if s.name == "f.make"} == {outer}
        assert len(open_spans("f.make")) == 0

    def test_asyncio(self, otel):
        @span("f.make")
        async def make():
            mine = inside()
            await asyncio.sleep(0.001)
            return mine == inside()

        async def main():
            with span("f.outer"):
                return await asyncio.gather(*(make() for _ in range(10)))

        assert all(asyncio.run(main()))
        outer = otel.span("f.outer").context.span_id
        assert {s.parent.span_id for s in otel.spans if s.name == "f.make"} == {outer}

    def test_a_generator_s_span_is_not_its_consumer_s(self, otel):
        @span("f.make")
        def numbers():
            yield inside()
            yield inside()

        with span("f.outer"):
            outer, run = inside(), numbers()
            mine = next(run)
            assert mine != outer == inside()
            assert next(run) == mine
            run.close()
            assert inside() == outer
        assert otel.span("f.make").parent.span_id == outer

    def test_lost_ends_do_not_pile_up(self, otel):
        open_spans("f.make").limit = 10
        for number in range(25):
            execute("f.make.start", None, {"telemetry_span_context": number})
        assert len(open_spans("f.make")) == 10
        assert len(otel.spans) == 15
        assert "was not emitted" in otel.spans[0].status.description
        for number in range(15, 25):
            execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": number})
        assert len(otel.spans) == 25

    def test_many_spans_leave_no_garbage(self, otel):
        import gc

        with span("f.outer"):
            pass
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            otel.spans_exporter.clear()
            for _ in range(200):
                with span("f.outer"):
                    pass
            otel.spans_exporter.clear()
            assert len(gc.get_objects()) - before < 100
        finally:
            gc.enable()

    def test_a_remote_parent_is_the_current_context(self, otel):
        remote = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))
        token = otel_context.attach(trace.set_span_in_context(trace.NonRecordingSpan(remote)))
        with span("f.make"):
            pass
        otel_context.detach(token)
        assert otel.span("f.make").context.trace_id == 0xABC
        assert otel.span("f.make").parent.span_id == 0xDEF

    @pytest.mark.parametrize("phases", [("start", "stop"), ("stop",)])
    def test_a_span_is_linked_to_others(self, otel, phases):
        other = trace.SpanContext(0xABC, 0xDEF, is_remote=True, trace_flags=trace.TraceFlags(1))
        for phase in phases:
            metadata = {"links": [trace.Link(other)]}
            if "start" in phases:
                metadata["telemetry_span_context"] = 1
            execute(f"f.make.{phase}", {"duration": 5}, metadata)
        assert [link.context for link in otel.span("f.make").links] == [other]

    def test_correlation_ids_go_from_bare_phases_to_what_is_inside(self, otel, seen):
        execute("f.make.start", None, {"telemetry_span_context": 1})
        execute("f.note")
        execute("f.make.stop", {"duration": 1}, {"telemetry_span_context": 1})
        assert seen.of("f.note")[1]["correlation_id"] == seen.of("f.make.start")[1]["correlation_id"]


class TestAttributes:
    def test_wrong_types_are_made_right(self, otel):
        class Thing:
            def __str__(self):
                return "a thing with password=hunter2"

        with span("f.make", asset=Thing(), run_id=17) as s:
            s.measurements["size"] = "12"
        attributes = otel.span("f.make").attributes
        assert "hunter2" not in attributes["f.asset"]
        assert attributes["f.asset"].startswith("a thing")
        assert (attributes["f.run"], attributes["f.size"]) == ("17", 12)

    @pytest.mark.parametrize("value", [["a", "b"], {"a": 1}, True, 1, 1.0])
    def test_what_is_no_text_becomes_one_also_as_a_label(self, otel, seen, value):
        for _ in range(2):
            with span("f.make", asset=value, run_id="r"):
                pass
        wanted = "true" if value is True else str(value)
        assert otel.spans[0].attributes["f.asset"] == wanted
        assert otel.values("f.make.count") == {(("asset", wanted),): 2}
        assert "telemetry.handler.failure" not in seen.names

    def test_labels_that_are_equal_in_python_stay_apart(self, otel):
        for value in ("1", 1, True, 1.0):
            execute("f.make.stop", None, {"asset": value})
        labels = [dict(key)["asset"] for key in otel.values("f.make.count")]
        assert sorted(labels) == ["1", "1.0", "true"]

    def test_none_is_left_out_and_long_text_is_cut(self, otel):
        with span("f.make", asset=None, run_id="x" * 10_000):
            pass
        attributes = otel.span("f.make").attributes
        assert "f.asset" not in attributes
        assert len(attributes["f.run"]) == 4096


class TestInstruments:
    def test_counters_and_histograms(self, otel):
        for nanoseconds in (500_000, 1_500_000, 9_000_000):
            execute("f.make.stop", {"duration": nanoseconds}, {"asset": "x"})
        assert otel.values("f.make.count") == {(("asset", "x"),): 3}
        [point] = otel.points("f.make.duration")
        assert point.explicit_bounds == (1.0, 2.0, 3.0)
        assert point.bucket_counts == (1, 1, 0, 1)
        assert point.sum == pytest.approx(11)

    def test_a_missing_label_is_unknown(self, otel):
        execute("f.make.stop", {"duration": 1})
        assert list(otel.values("f.make.count")) == [(("asset", "unknown"),)]

    def test_gauges_conditions_and_booleans(self, otel):
        execute("f.health", None, {"asset": "x", "healthy": True})
        execute("f.health", None, {"asset": "y", "healthy": False})
        assert otel.values("f.healthy") == {(("asset", "x"),): 1, (("asset", "y"),): 0}
        assert otel.values("f.unhealthy") == {(("healthy", "false"),): 1}

    def test_an_updowncounter_goes_down_again(self, otel):
        with span("f.make"):
            assert otel.values("f.busy") == {(): 1}
        assert otel.values("f.busy") == {(): 0}

    def test_an_exception_s_type_is_its_label(self, otel):
        with pytest.raises(KeyError), span("f.make"):
            raise KeyError
        assert otel.values("f.make.errors") == {(("error_type", "KeyError"),): 1}

    def test_exemplars_point_to_the_span(self, otel):
        with span("f.make", asset="x"):
            pass
        [exemplar] = otel.points("f.make.duration")[0].exemplars
        assert exemplar.span_id == otel.span("f.make").context.span_id

    def test_a_span_that_is_not_sampled_gives_no_exemplar(self, otel):
        otel.bridge.detach()
        otel.tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
        otel.bridge = otel.make_bridge()
        otel.bridge.attach()
        with span("f.make", asset="x"):
            pass
        assert not otel.points("f.make.duration")[0].exemplars

    def test_sampled_events_weigh_more(self, otel):
        set_rate("f.make", 0.25)
        for _ in range(4000):
            with span("f.make", asset="x"):
                pass
        count = otel.values("f.make.count")[(("asset", "x"),)]
        [histogram] = otel.points("f.make.duration")
        assert count == histogram.count == 4 * len(otel.spans)
        assert 3300 < count < 4700
        assert otel.values("f.busy") == {(): 0}

    def test_what_is_no_number_is_not_recorded(self, otel):
        execute("f.health", None, {"asset": "x", "healthy": "maybe"})
        assert otel.points("f.healthy") == []

    def test_redaction_s_hits_are_a_series(self, otel):
        before = otel.values("assay.redaction.hits").get((("rule", "key"),), 0)
        redact({"password": "x"})
        assert otel.values("assay.redaction.hits")[(("rule", "key"),)] == before + 1


class TestLogs:
    def test_events_belong_to_their_span(self, otel):
        with correlation("c-1"), span("f.make", asset="x", run_id="r"):
            pass
        started, stopped = otel.logs
        made = otel.span("f.make").context
        assert [e.event_name for e in (started, stopped)] == ["f.make.start", "f.make.stop"]
        assert {(e.trace_id, e.span_id) for e in (started, stopped)} == {(made.trace_id, made.span_id)}
        assert (started.body, started.severity_text) == ("Making", "INFO")
        attributes = dict(stopped.attributes)
        assert attributes.pop("f.duration_ms") > 0
        assert attributes == {"f.asset": "x", "cicd.task": "x", "f.run": "r", "assay.correlation_id": "c-1"}
        assert started.timestamp == otel.span("f.make").start_time
        assert stopped.timestamp == otel.span("f.make").end_time

    def test_a_failure(self, otel):
        with pytest.raises(OSError, match="disk"), span("f.make", asset="x"):
            raise OSError("disk")
        failed = otel.logs[-1]
        assert failed.severity_text == "ERROR"
        assert failed.attributes["error.type"] == "OSError"
        assert failed.attributes["error.message"] == "disk"

    def test_what_was_learnt_on_the_way_is_in_the_log_too(self, otel):
        with span("f.make", asset="x") as s:
            s.metadata["asset"] = "y"
        assert otel.logs[-1].attributes["f.asset"] == "y"

    def test_no_secret_gets_out(self, otel):
        execute("f.note", None, {"note": "postgres://u:hunter2@h/d"})
        assert "hunter2" not in str(dict(otel.logs[0].attributes))

    def test_an_event_that_the_registry_does_not_know_reaches_handlers_only(self, otel, seen):
        execute("nobody.knows", {"n": 1}, {"a": 1})
        assert seen.names == ["nobody.knows"]
        assert not otel.logs


class TestAudit:
    def test_a_record(self, otel):
        with correlation("c-1"):
            execute("f.approved", None, {"asset": "x", "actor": "eve", "outcome": "success", "note": "ok"})
        [(name, attributes, body, time)] = otel.records
        assert name == "f.approved"
        assert attributes == {
            "audit.action": "APPROVE",
            "audit.outcome": "success",
            "audit.target.type": "asset",
            "audit.target.id": "x",
            "audit.actor.id": "eve",
            "audit.actor.type": "user",
            "assay.correlation_id": "c-1",
        }
        assert body == {"outcome": "success", "note": "ok"}
        assert abs(time - time_ns()) < 60e9

    def test_what_the_event_does_not_say_is_left_to_the_auditor(self, otel):
        execute("f.approved", None, {"asset": "x", "outcome": "so-so"})
        [(_, attributes, _, _)] = otel.records
        assert "audit.actor.id" not in attributes
        assert attributes["audit.outcome"] == "unknown"

    def test_records_are_neither_sampled_nor_suppressed(self, otel):
        set_rate("*", 1e-9)
        for _ in range(5):
            execute("f.approved", None, {"asset": "x"})
        token = otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))
        execute("f.approved", None, {"asset": "x"})
        otel_context.detach(token)
        assert len(otel.records) == 6
        assert len(otel.logs) == 5

    def test_an_auditor_that_fails_is_told_and_asked_again(self, otel, seen):
        asked = []

        def failing(*_args, **_kwargs):
            asked.append(1)
            raise ConnectionError("sink down")

        otel.bridge.detach()
        otel.bridge = otel.make_bridge(audit=failing)
        otel.bridge.attach()
        for _ in range(20):
            execute("f.approved", None, {"asset": "x"})
        assert len(asked) == 20
        assert len(otel.logs) == 20
        assert seen.of("telemetry.handler.failure")[1]["handler_id"] == "assay.bridge.audit"


def test_suppressed_instrumentation_makes_nothing(otel):
    token = otel_context.attach(otel_context.set_value(otel_context._SUPPRESS_INSTRUMENTATION_KEY, True))
    with span("f.make", asset="x"):
        pass
    execute("f.note")
    otel_context.detach(token)
    assert not otel.spans
    assert not otel.logs
    assert otel.points("f.make.count") == []


def test_two_spans_that_claim_one_event_are_refused(otel):
    catalogue = Catalogue(spans={"a": Span("a", start="b.start"), "a.b": Span("a.b")})
    with pytest.raises(PlanError, match=r"a\.b\.start"):
        otel.make_bridge(catalogue)


class TestConditions:
    EVENT = Event(
        "g.done",
        attributes=(Attribute("g.result", "result"),),
        when={"result": "error", "span": None},
        audit=Audit("DO", "failure", "thing", "thing"),
    )

    @pytest.mark.parametrize(
        ("metadata", "holds"),
        [
            ({"result": "error"}, True),
            ({"result": "ok"}, False),
            ({}, False),
            ({"result": "error", "span": 1}, False),
        ],
    )
    def test_an_event_is_logged_and_audited_if_its_condition_holds(self, new_telemetry, metadata, holds):
        records = []
        telemetry = new_telemetry(
            Catalogue(events={"g.done": self.EVENT}), audit=lambda *args, **_: records.append(args)
        )
        execute("g.done", None, metadata)
        assert len(telemetry.logs) == len(records) == int(holds)

    def test_a_label_may_be_left_out(self, new_telemetry):
        labels = (
            Attribute("error.type", "error.type", source="error_type", optional=True),
            Attribute("a", "a"),
        )
        for instrument in ("counter", "histogram"):
            metric = Metric("g.count", instrument, "1", labels=labels, recordings=(Recording("g.done"),))
            telemetry = new_telemetry(Catalogue(metrics={"g.count": metric}))
            execute("g.done", None, {"a": "x"})
            execute("g.done", None, {"a": "x", "error_type": "E"})
            assert [dict(p.attributes) for p in telemetry.points("g.count")] == [
                {"a": "x"},
                {"error.type": "E", "a": "x"},
            ]
            telemetry.bridge.detach()

    def test_an_attribute_may_depend_on_the_phase(self, new_telemetry):
        telemetry = new_telemetry(
            Catalogue(
                spans={
                    "g.run": Span(
                        "g.run",
                        stops=("stop", "canceled"),
                        phase_attributes={
                            phase: (Attribute("g.result", "g.result", constant=result),)
                            for phase, result in (("stop", "success"), ("canceled", "cancellation"))
                        },
                    )
                }
            )
        )
        with span("g.run"):
            pass
        with span("g.run") as run:
            run.end_as("canceled")
        assert [s.attributes["g.result"] for s in telemetry.spans] == ["success", "cancellation"]


class Disabled(LogRecordProcessor):
    """Wants no log event."""

    emitted = 0

    def on_emit(self, log_record):
        self.emitted += 1

    def enabled(self, **_kwargs):
        return False

    def shutdown(self):
        pass

    def force_flush(self, timeout_millis=30000):
        return True


class TestWhatNobodyWants:
    def test_a_span_that_is_not_sampled_gets_no_attributes_at_its_end(self, otel):
        asked = []

        class Size:
            def __int__(self):
                asked.append(1)
                return 1

            __float__ = __int__

        otel.bridge.detach()
        otel.tracers = TracerProvider(sampler=ALWAYS_OFF, shutdown_on_exit=False)
        otel.bridge = otel.make_bridge()
        otel.bridge.attach()
        with span("f.make", asset="x") as one:
            one.measurements["size"] = Size()
        assert not asked
        assert otel.values("f.make.count") == {(("asset", "x"),): 1}

    @pytest.mark.skipif(not hasattr(Logger, "enabled"), reason="new in OpenTelemetry 1.45")
    def test_a_log_event_that_no_processor_wants_is_not_built(self, new_telemetry, catalogue):
        disabled, converted = Disabled(), []

        class Note:
            def __str__(self):
                converted.append(1)
                return "note"

        telemetry = new_telemetry(catalogue)
        telemetry.bridge.detach()
        telemetry.loggers = LoggerProvider(shutdown_on_exit=False)
        telemetry.loggers.add_log_record_processor(disabled)
        telemetry.bridge = telemetry.make_bridge(catalogue)
        telemetry.bridge.attach()
        execute("f.note", None, {"note": Note()})
        assert (disabled.emitted, converted) == (0, [])
