"""Events that interrupt their own thread inside a handler: from a signal handler or `__del__`."""

from __future__ import annotations

import gc
import signal
import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from assay.telemetry import execute, span
from assay.telemetry._bridge import reentrancy


@pytest.fixture(autouse=True)
def watchdog():
    """End the test process if a deadlock keeps the interpreter from handling the timeout."""
    timer = threading.Timer(60, signal.raise_signal, (signal.SIGABRT,))
    timer.start()
    yield
    timer.cancel()
    assert not reentrancy._inside
    assert not reentrancy._deferred


def interrupt_while(body, on_signal, times):
    """Run `body` until signals have interrupted it `times` times."""
    came = []

    def handle(*_):
        came.append(1)
        on_signal()

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    try:
        while len(came) < times:
            body()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return len(came)


class Counts(SpanProcessor):
    """Counts ended spans. An exporter would suppress instrumentation, also of events that interrupt it."""

    ended = 0

    def on_end(self, span):
        self.ended += 1


@pytest.fixture
def quiet(new_telemetry, catalogue):
    """Return telemetry without exporters of spans and logs."""
    telemetry = new_telemetry(catalogue)
    telemetry.bridge.detach()
    telemetry.tracers, telemetry.loggers = (
        TracerProvider(shutdown_on_exit=False),
        LoggerProvider(shutdown_on_exit=False),
    )
    telemetry.bridge = telemetry.make_bridge(catalogue)
    telemetry.bridge.attach()
    return telemetry


def test_a_signal_handler_may_record_the_histogram_that_it_interrupts(quiet):
    bodies = []

    def body():
        bodies.append(1)
        execute("f.make.stop", {"duration": 1_000_000}, {"asset": "x"})

    came = interrupt_while(
        body, lambda: execute("f.make.stop", {"duration": 1_000_000}, {"asset": "x"}), 1500
    )
    assert quiet.values("f.make.count") == {(("asset", "x"),): len(bodies) + came}
    assert quiet.points("f.make.duration")[0].count == len(bodies) + came


def test_a_signal_handler_may_make_whole_spans(quiet):
    def make():
        with span("f.make", asset="x"):
            pass

    counts = Counts()
    quiet.tracers.add_span_processor(counts)
    came = interrupt_while(make, make, 300)
    assert quiet.values("f.make.count")[(("asset", "x"),)] == counts.ended > came
    assert quiet.values("f.busy") == {(): 0}
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_the_garbage_collector_may_run_inside_the_sdk(otel):
    class Cycle:
        def __init__(self):
            self.me = self

        def __del__(self):
            execute("f.make.stop", {"duration": 1_000_000}, {"asset": "collected"})

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(50):
            Cycle()
            with span("f.make", asset="x"):
                pass
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert otel.values("f.make.count") == {(("asset", "x"),): 50, (("asset", "collected"),): 50}


def test_a_deferred_event_belongs_to_the_context_in_which_it_was_emitted(otel):
    class Emits(SpanProcessor):
        emitted = False

        def on_end(self, span):
            if not Emits.emitted:
                Emits.emitted = True
                execute("f.note", None, {"note": "from on_end"})
                assert not otel.logs or otel.logs[-1].event_name != "f.note", (
                    "deferred until the handler has ended"
                )

    otel.tracers.add_span_processor(Emits())
    with span("f.outer"), span("f.make"):
        pass
    [note] = [log for log in otel.logs if log.event_name == "f.note"]
    assert note.span_id == otel.span("f.outer").context.span_id


def test_a_deferred_event_whose_handler_fails_is_reported(otel, seen):
    class Emits(SpanProcessor):
        emitted = False

        def on_end(self, span):
            if not Emits.emitted:
                Emits.emitted = True
                execute("f.make.start", None, {"telemetry_span_context": []})

    otel.tracers.add_span_processor(Emits())
    with span("f.outer"):
        pass
    assert seen.of("telemetry.handler.failure")[1]["event_name"] == "f.make.start"


def test_other_threads_are_not_deferred(otel):
    class Joins(SpanProcessor):
        def on_end(self, span):
            thread = threading.Thread(target=execute, args=("f.note",))
            thread.start()
            thread.join(10)
            assert otel.logs[-1].event_name == "f.note"

    otel.tracers.add_span_processor(Joins())
    with span("f.outer"):
        pass
    assert [log.event_name for log in otel.logs] == ["f.note"]
