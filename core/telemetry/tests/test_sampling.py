from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.telemetry import (
    PatternError,
    TelemetryError,
    _pipeline,
    execute,
    sampling,
    set_limit,
    set_rate,
    span,
)

WEIGHT = "telemetry_weight"


def test_weights_add_up_to_what_happened(seen):
    set_rate("a.*", 0.1)
    for _ in range(5000):
        execute("a.b")
    assert 300 < len(seen) < 700  # ten standard deviations
    assert {d[WEIGHT] for _, _, d in seen} == {10}


def test_the_most_specific_pattern_holds(seen):
    set_rate("a.*", 1e-9)
    set_rate("a.b.*", 1)
    set_rate("a.b.c", 1e-9)
    for name in ("a.x", "a.b.c", "a.b.d", "other"):
        execute(name)
    assert seen.names == ["a.b.d", "other"]


def test_what_is_not_sampled_has_no_weight(seen):
    execute("a.b")
    assert WEIGHT not in seen[0][2]


def test_a_span_is_kept_or_dropped_as_a_whole(seen):
    set_rate("a.b", 0.5)
    for _ in range(500):
        with span("a.b"):
            pass
    starts = [d["telemetry_span_context"] for e, _, d in seen if e == "a.b.start"]
    stops = [d["telemetry_span_context"] for e, _, d in seen if e == "a.b.stop"]
    assert starts == stops
    assert 100 < len(starts) < 400


@pytest.mark.parametrize("raw", [False, True])
def test_bare_phases_share_the_decision_too(seen, raw):
    if raw:
        set_limit("a.b", 1e-9, 50)
    else:
        set_rate("a.*", 0.5)
    for number in range(200):
        execute("a.b.start", None, {"telemetry_span_context": number})
    for number in range(200):
        execute("a.b.stop", None, {"telemetry_span_context": number})
    starts = [d["telemetry_span_context"] for e, _, d in seen if e == "a.b.start"]
    assert starts == [d["telemetry_span_context"] for e, _, d in seen if e == "a.b.stop"]
    assert len(starts) == 50 if raw else 0 < len(starts) < 200


def test_an_exception_always_passes_and_stands_for_itself(seen):
    set_rate("a.b", 1e-9)
    for _ in range(3):
        with pytest.raises(ValueError), span("a.b"):  # noqa: PT011 - raised bare
            raise ValueError
    assert seen.names == ["a.b.exception"] * 3
    seen.clear()
    set_rate("a.b", 0.9999999)
    with pytest.raises(ValueError), span("a.b"):  # noqa: PT011 - raised bare
        raise ValueError
    assert seen.names == ["a.b.start", "a.b.exception"]
    assert WEIGHT in seen[0][2]
    assert WEIGHT not in seen[1][2]


def test_errors_and_audit_events_always_pass(seen):
    _pipeline.describe(frozenset({"a.audited"}), {})
    set_rate("*", 1e-9)
    execute("a.audited")
    execute("a.b", None, {"severity": "error"})
    execute("a.b", None, {"severity": "info"})
    assert seen.names == ["a.audited", "a.b"]
    assert not any(WEIGHT in d and d[WEIGHT] != 1 for _, _, d in seen)


def test_handler_failures_are_not_sampled(seen):
    set_rate("*", 1e-9)
    execute("telemetry.handler.failure")
    assert seen.names == ["telemetry.handler.failure"]


def test_a_limit_lets_a_burst_through_and_counts_the_rest(seen, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(sampling, "monotonic", lambda: clock[0])
    set_limit("a.*", 10, burst=3)
    for _ in range(8):
        execute("a.b")
    assert len(seen) == 3
    clock[0] += 0.11
    execute("a.b")
    assert [d.get(WEIGHT, 1) for _, _, d in seen] == [1, 1, 1, 6]
    assert sum(d.get(WEIGHT, 1) for _, _, d in seen) == 9


def test_rate_and_limit_together(seen):
    set_rate("a.*", 0.5)
    set_limit("a.*", 1e-9, burst=5)
    for _ in range(100):
        execute("a.b")
    assert [d[WEIGHT] for _, _, d in seen] == [2] * 5


@pytest.mark.parametrize("rate", [0, -1, 1.5, float("nan")])
def test_a_rate_that_is_none_is_refused(rate):
    with pytest.raises(TelemetryError, match="sampling rate"):
        set_rate("a.*", rate)


@pytest.mark.parametrize("limit", [(0, None), (-1, None), (5, 0)])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(TelemetryError, match="limit"):
        set_limit("a.*", *limit)


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(PatternError):
        set_rate("a*", 0.5)


@given(st.lists(st.integers() | st.text() | st.tuples(st.integers()), min_size=1, max_size=5))
def test_a_key_s_share_is_a_share_and_stays(keys):
    for key in keys:
        assert 0 <= sampling._share(key) < 1
        assert sampling._share(key) == sampling._share(key)


def test_shares_are_spread_evenly():
    shares = [sampling._share(number) for number in range(10_000)]
    assert 900 < sum(share < 0.1 for share in shares) < 1100


class TestDecisionsOfOpenSpans:
    def test_a_span_leaves_none_behind(self, seen):
        set_limit("a.b", 1e-9, 50)
        for number in range(200):
            with span("a.b") as one:
                if number % 2:
                    one.metadata["late"] = "x"
        assert seen.names == ["a.b.start", "a.b.stop"] * 50
        assert len(sampling.decisions) == 0

    def test_a_live_span_s_end_follows_its_start_however_many_others_there_are(self, seen, monkeypatch):
        monkeypatch.setattr(sampling, "DECISION_LIMIT", 100)
        set_limit("a.b", 1e-9, 1)
        with span("a.b") as live:
            for number in range(1000):
                execute("a.b.start", None, {"telemetry_span_context": number})
            live.metadata["late"] = "x"
        assert seen.names == ["a.b.start", "a.b.stop"]
        assert len(sampling.decisions) <= 100

    def test_bare_events_that_are_kept_survive_those_that_are_dropped(self, seen, monkeypatch):
        monkeypatch.setattr(sampling, "DECISION_LIMIT", 100)
        set_limit("a.b", 1e-9, 1)
        execute("a.b.start", None, {"telemetry_span_context": "kept"})
        for number in range(1000):
            execute("a.b.start", None, {"telemetry_span_context": number})
        execute("a.b.stop", None, {"telemetry_span_context": "kept"})
        assert seen.names == ["a.b.start", "a.b.stop"]
        assert len(sampling.decisions) <= 200

    def test_two_spans_with_one_key_decide_apart(self, seen):
        set_limit("a.b", 1e-9, 1)
        set_limit("c.d", 1e-9, 1)
        execute("a.b")
        for phase in ("start", "stop"):
            for event in ("a.b", "c.d"):
                execute(f"{event}.{phase}", None, {"telemetry_span_context": 1})
        assert [name for name in seen.names if name.startswith("c.")] == ["c.d.start", "c.d.stop"]

    def test_a_start_of_another_name_decides_too(self, seen):
        _pipeline.describe(frozenset(), {"a.r.init": "a.r", "a.r.done": "a.r"}, {"a.r.init"})
        set_limit("a.r", 1e-9, 1)
        for key in (1, 2):
            execute("a.r.init", None, {"telemetry_span_context": key})
        for key in (2, 1):
            execute("a.r.done", None, {"telemetry_span_context": key})
        assert [(e, d["telemetry_span_context"]) for e, _, d in seen] == [("a.r.init", 1), ("a.r.done", 1)]
