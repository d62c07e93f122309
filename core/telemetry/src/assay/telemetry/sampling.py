"""Sampling and rate limits, for an event or a pattern.

```python
set_rate("snakepit.heartbeat.*", 0.1)  # one in ten
set_limit("snakepit.pool.*", 100)  # a hundred a second
```

A kept event carries in metadata `telemetry_weight` the number of events that it represents: 1/rate; after a
limit has dropped events, the dropped ones and itself. Sums of weights are therefore unbiased (dropped events
count as soon as the next event of the same name is kept). Errors and audit events are always kept and have
weight 1. One decision holds for all events of a span: if its start is kept, its end is kept.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, TypeAlias

from assay.telemetry import bus
from assay.telemetry.errors import RateError

Decide: TypeAlias = Callable[[Mapping[str, Any]], float]
"""Takes an event's metadata; returns its weight, 0 to drop it."""

WEIGHT = "telemetry_weight"
"""Metadata key: how many events a kept event represents."""
DECISION_LIMIT = 10_000
"""How many decisions on open spans a limit remembers, of kept and of dropped spans each."""

_SEVERE = frozenset({"error", "critical"})


class Decisions:
    """The limits' decisions for spans that are still open, by event and `telemetry_span_context`.

    A span that is emitted with `assay.telemetry.span` carries its decision itself and is forgotten at its
    end. Spans emitted as bare events are remembered here until their end. Beyond `DECISION_LIMIT` the oldest
    decision is discarded: of the dropped spans or of the kept ones, whichever has too many.
    """

    def __init__(self) -> None:
        self._kept: dict[Hashable, float] = {}
        self._dropped: dict[Hashable, float] = {}

    def __bool__(self) -> bool:
        return bool(self._kept or self._dropped)

    def __len__(self) -> int:
        return len(self._kept) + len(self._dropped)

    def remember(self, event: str, context: Hashable, weight: float) -> None:
        """Store the weight that a span's start got."""
        decisions = self._kept if weight else self._dropped
        if len(decisions) >= DECISION_LIMIT:
            with suppress(KeyError, StopIteration, RuntimeError):  # another thread changed it meanwhile
                decisions.pop(next(iter(decisions)))
        decisions[event, context] = weight

    def forget(self, event: str, context: Hashable) -> float | None:
        """Remove and return the weight of a span, None if there is none."""
        key = event, context
        weight = self._kept.pop(key, None)
        return self._dropped.pop(key, None) if weight is None else weight

    def clear(self) -> None:
        """Remove all."""
        self._kept.clear()
        self._dropped.clear()


decisions = Decisions()
_rates: dict[str, float] = {}
_limits: dict[str, _Bucket] = {}


class _Bucket:
    """A token bucket. It has no lock: two threads may occasionally take the same token."""

    __slots__ = ("_at", "_burst", "_per_second", "_tokens", "missed")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = monotonic()
        self.missed: dict[str, int] = {}

    def takes(self) -> bool:
        """Take a token; return whether there was one."""
        now = monotonic()
        tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1


def set_rate(pattern: str, rate: float) -> None:
    """Keep this share of the events of a name or pattern; the most specific pattern applies.

    Args:
        pattern: An event, a span's event (for all its phases), or a pattern ending in `.*`.
        rate: Above 0, up to 1.

    Raises:
        RateError: The rate is out of range.
        PatternError: `pattern` is neither a name nor a pattern.
    """
    bus.check_pattern(pattern)
    if not 0 < rate <= 1:
        raise RateError(f"the sampling rate of {pattern} is {rate}; give a share above 0 and up to 1")
    _rates[pattern] = rate
    bus.refresh()


def set_limit(pattern: str, per_second: float, burst: float | None = None) -> None:
    """Limit the events of a name or pattern together; the most specific pattern applies.

    Args:
        pattern: As for `set_rate`.
        per_second: Events a second, in the long run.
        burst: Events at once; None: one second's.

    Raises:
        RateError: `per_second` is not above 0, or `burst` is below 1.
        PatternError: `pattern` is neither a name nor a pattern.
    """
    bus.check_pattern(pattern)
    burst = max(per_second, 1) if burst is None else burst
    if not (per_second > 0 and burst >= 1):
        raise RateError(
            f"the limit of {pattern} is {per_second} a second, {burst} at once; "
            "give a number above 0, and at least 1 at once"
        )
    _limits[pattern] = _Bucket(per_second, burst)
    bus.refresh()


def clear() -> None:
    """Remove all rates and limits."""
    _rates.clear()
    _limits.clear()
    decisions.clear()
    bus.refresh()


def compile_decision(event: str, span: str | None, *, is_start: bool) -> Decide | None:
    """Return the function that decides on an event, or None if all are kept.

    Args:
        event: Its name.
        span: The span of which it is a phase. The phases share one decision, so the span's name is matched.
        is_start: The event starts that span.
    """
    rate = _most_specific(_rates, span or event)
    bucket = _most_specific(_limits, span or event)
    if bucket is None:
        return None if rate is None or rate == 1 else _by_rate(rate)
    by_rate = _by_rate(rate) if rate is not None else None
    return _by_limit(span or event, bucket, by_rate, is_start=is_start)


def _most_specific(rules: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - a rate or a bucket
    if name in rules:
        return rules[name]
    stem = name
    while stem:
        if f"{stem}.*" in rules:
            return rules[f"{stem}.*"]
        stem = stem.rpartition(".")[0]
    return rules.get("*")


def _by_rate(rate: float) -> Decide:
    weight = 1 / rate
    if weight == int(weight):
        weight = int(weight)

    def decide(metadata: Mapping[str, Any]) -> float:
        if metadata.get("severity") in _SEVERE:
            return 1
        key = metadata.get("telemetry_span_context")
        return weight if (random.random() if key is None else _share(key)) < rate else 0  # noqa: S311 - sampling

    return decide


def _share(key: object) -> float:
    """Return an evenly distributed number from 0 to 1, the same for the same key (splitmix64)."""
    mixed = (hash(key) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def _by_limit(name: str, bucket: _Bucket, by_rate: Decide | None, *, is_start: bool) -> Decide:
    def decide(metadata: Mapping[str, Any]) -> float:
        if metadata.get("severity") in _SEVERE:
            return 1
        context = metadata.get("telemetry_span_context")
        if context is not None and not is_start:
            decided = decisions.forget(name, context)
            if decided is not None:
                return decided
        weight = by_rate(metadata) if by_rate else 1
        if weight:
            if bucket.takes():
                weight *= 1 + bucket.missed.pop(name, 0)
            else:
                bucket.missed[name] = bucket.missed.get(name, 0) + 1
                weight = 0
        if is_start and context is not None:
            decisions.remember(name, context, weight)
        return weight

    return decide
