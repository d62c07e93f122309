from __future__ import annotations

import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.telemetry import (
    HandlerExistsError,
    PatternError,
    _breaker,
    attach,
    attach_many,
    bus,
    detach,
    execute,
    list_handlers,
)

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(".".join)


def test_a_handler_is_told_what_was_executed(seen):
    execute("shop.sold", {"items": 2}, {"customer": "c", "correlation_id": "x"})
    assert seen == [("shop.sold", {"items": 2}, {"customer": "c", "correlation_id": "x"})]


def test_the_configuration_is_handed_over():
    got = []
    attach("one", "a.b", lambda *args: got.append(args[3]), {"port": 1})
    execute("a.b")
    assert got == [{"port": 1}]


def test_the_caller_s_metadata_is_left_alone():
    attach("one", "a.b", lambda *_: None)
    metadata = {"password": "hunter2"}
    execute("a.b", None, metadata)
    assert metadata == {"password": "hunter2"}


@given(event=NAMES, pattern=NAMES)
def test_a_pattern_matches_what_is_below_it_and_nothing_else(event, pattern):
    got = []
    attach("p", f"{pattern}.*", lambda *_: got.append(event))
    try:
        execute(event)
    finally:
        detach("p")
    assert bool(got) == event.startswith(f"{pattern}.")


@given(events=st.lists(NAMES, max_size=6), listened=st.lists(NAMES, min_size=1, max_size=4, unique=True))
def test_an_event_is_told_once_however_many_of_a_handler_s_patterns_match(events, listened):
    got = []
    attach_many("many", [*listened, *(f"{name}.*" for name in listened)], lambda e, *_: got.append(e))
    try:
        for event in events:
            execute(event)
    finally:
        detach("many")
    assert got == [e for e in events if any(e == n or e.startswith(f"{n}.") for n in listened)]


def test_handlers_are_called_in_the_order_they_were_attached():
    order = []
    attach("z", "a.*", lambda *_: order.append("z"))
    attach("a", "a.b", lambda *_: order.append("a"))
    attach("m", "*", lambda *_: order.append("m"))
    execute("a.b")
    assert order == ["z", "a", "m"]


def test_attaching_reaches_events_that_were_executed_before():
    got = []
    execute("late.event")
    attach("late", "late.*", lambda *_: got.append(1))
    execute("late.event")
    assert detach("late")
    execute("late.event")
    assert got == [1]


def test_a_taken_id_is_refused():
    attach("one", "a", lambda *_: None)
    with pytest.raises(HandlerExistsError, match="'one'"):
        attach("one", "b", lambda *_: None)
    assert not list_handlers("b")


@pytest.mark.parametrize("pattern", ["", ".", "a..b", "a.", ".a", "a*", "*.a", "a.*.b", ".*"])
def test_what_is_neither_name_nor_pattern_is_refused(pattern):
    with pytest.raises(PatternError):
        attach("one", pattern, lambda *_: None)
    assert not list_handlers()


def test_detaching_an_unknown_handler_says_so():
    assert not detach("nobody")


def test_handlers_are_listed_by_prefix():
    attach_many("one", ["a.b", "a.c", "b.*"], lambda *_: None, 7)
    assert [(h.id, h.event, h.config) for h in list_handlers("a.")] == [("one", "a.b", 7), ("one", "a.c", 7)]


def test_made_up_names_do_not_fill_the_memory():
    attach("one", "a.*", lambda *_: None)
    for number in range(bus.CACHE_LIMIT + 100):
        execute(f"made.up.{number}")
    assert len(bus.routes) <= bus.CACHE_LIMIT


class TestFailure:
    def test_it_does_not_reach_the_caller_and_the_others_are_told(self, seen):
        attach("bad", "a.b", lambda *_: 1 / 0)
        after = []
        attach("after", "a.b", lambda *_: after.append(1))
        execute("a.b")
        assert after == [1]
        measurements, metadata = seen.of("telemetry.handler.failure")
        assert measurements["failures"] == 1
        assert metadata["handler_id"] == "bad"
        assert metadata["event_name"] == "a.b"
        assert metadata["kind"] == "ZeroDivisionError"
        assert metadata["reason"] == "division by zero"
        assert "1 / 0" in metadata["stacktrace"]

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_what_is_meant_to_end_the_program_does(self, error):
        def handler(*_):
            raise error

        attach("bad", "a.b", handler)
        with pytest.raises(error):
            execute("a.b")
        with pytest.raises(error):  # and the handler is not taken to be still running
            execute("a.b")

    def test_a_handler_of_failures_that_fails_does_not_fail_for_ever(self):
        calls = []

        def handler(event, *_):
            calls.append(event)
            raise ValueError(event)

        attach("bad", "*", handler)
        execute("a.b")
        assert calls == ["a.b", "telemetry.handler.failure"]

    def test_the_breaker_cuts_a_handler_out_and_tries_it_again(self, monkeypatch, seen):
        clock = [1000.0]
        monkeypatch.setattr(_breaker, "monotonic", lambda: clock[0])
        calls, works = [], [False]

        def handler(*_):
            calls.append(1)
            if not works[0]:
                raise ValueError

        attach("bad", "a.b", handler)
        for _ in range(20):
            execute("a.b")
        assert len(calls) == _breaker.FAILURE_THRESHOLD
        assert [h.is_cut for h in list_handlers("a.b")] == [True]
        assert seen[-2][2].get("breaker", "open") == "open"

        clock[0] += _breaker.RETRY_AFTER + 1
        for _ in range(3):
            execute("a.b")
        assert len(calls) == _breaker.FAILURE_THRESHOLD + 1, "half-open lets one call through"

        works[0] = True
        clock[0] += 2 * _breaker.RETRY_AFTER + 1
        for _ in range(3):
            execute("a.b")
        assert len(calls) == _breaker.FAILURE_THRESHOLD + 4, "closed again"
        assert [h.is_cut for h in list_handlers("a.b")] == [False]

    def test_recursion_is_bounded(self, seen):
        calls = []

        def handler(*_):
            calls.append(1)
            execute("a.b")
            execute("a.b")

        attach("echo", "a.b", handler)
        execute("a.b")
        assert 1 < len(calls) < 3**bus.RECURSION_LIMIT
        assert seen.of("telemetry.handler.failure")[1]["kind"] == "RecursionError"

    def test_mutual_recursion_is_bounded(self):
        calls = []
        attach("one", "a.one", lambda *_: (calls.append(1), execute("a.two")))
        attach("two", "a.two", lambda *_: (calls.append(2), execute("a.one")))
        execute("a.one")
        assert len(calls) < sys.getrecursionlimit()

    def test_a_failing_filter_drops_the_event_and_is_told(self, seen):
        before = bus._compile_filter

        def compile_filter(event):
            if event == "a.b":
                return lambda _metadata: 1 / 0
            return before(event)

        bus.set_filter(compile_filter)
        try:
            execute("a.b")
        finally:
            bus.set_filter(before)
        assert seen.names == ["telemetry.handler.failure"]
        assert seen[0][2]["handler_id"] == "telemetry.filter"


def test_threads_attach_detach_and_emit_at_once():
    counted, stop, errors = [], threading.Event(), []
    attach("steady", "t.*", lambda *_: counted.append(1))

    def churn(name):
        try:
            while not stop.is_set():
                attach(name, "t.e", lambda *_: None)
                detach(name)
        except Exception as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)

    threads = [threading.Thread(target=churn, args=(str(n),)) for n in range(2)]
    emitters = [threading.Thread(target=lambda: [execute("t.e") for _ in range(2000)]) for _ in range(3)]
    for thread in threads + emitters:
        thread.start()
    for thread in emitters:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(counted) == 6000
    assert [h.id for h in list_handlers()] == ["steady"]


def test_a_handler_that_hangs_stops_its_own_thread_only():
    entered, release, done = threading.Event(), threading.Event(), []

    def handler(_event, _measurements, metadata, _config):
        if metadata.get("wait"):
            entered.set()
            release.wait(10)
        else:
            done.append(1)

    attach("slow", "a.b", handler)
    thread = threading.Thread(target=execute, args=("a.b", None, {"wait": True}))
    thread.start()
    assert entered.wait(10)
    execute("a.b")
    assert done == [1]
    release.set()
    thread.join()
