"""Fewer events where there are many: a rate, or a limit a second, for a name or a pattern.

```python
set_rate("snakepit.heartbeat.*", 0.1)  # one in ten
set_limit("snakepit.pool.*", 100)  # a hundred a second
```

What is kept says in metadata `telemetry_weight` how many events it stands for: 1/rate; and after a limit has
dropped some, those and itself. So sums of weights stay right (what a limit dropped counts as soon as one of
the same name passes). Errors and audit events always pass, with no weight. A span's events share one
decision.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, TypeAlias

from assay.telemetry import bus
from assay.telemetry.errors import RateError

Decide: TypeAlias = Callable[[Mapping[str, Any]], float]
"""Takes an event's metadata; returns its weight, 0 to drop it."""

OPEN_LIMIT = 10_000
"""Spans whose decision a limit remembers."""

_SEVERE = frozenset({"error", "critical"})
_rates: dict[str, float] = {}
_limits: dict[str, _Bucket] = {}


class _Bucket:
    """A token bucket. No lock: two threads may now and then take the same token."""

    __slots__ = ("_at", "_burst", "_per_second", "_tokens", "decided", "missed")

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._tokens = burst
        self._at = monotonic()
        self.missed: dict[str, int] = {}
        self.decided: dict[Any, float] = {}

    def takes(self) -> bool:
        """Return whether there is a token, and take it."""
        now = monotonic()
        tokens = min(self._burst, self._tokens + (now - self._at) * self._per_second)
        self._at = now
        self._tokens = tokens - 1 if tokens >= 1 else tokens
        return tokens >= 1


def set_rate(pattern: str, rate: float) -> None:
    """Keep this share of the events of a name or pattern; the most specific pattern holds.

    Args:
        pattern: An event, a span's event (all its phases), or a pattern ending in `.*`.
        rate: Above 0, up to 1.

    Raises:
        RateError: Another rate.
        PatternError: `pattern` is neither a name nor a pattern.
    """
    bus.check_pattern(pattern)
    if not 0 < rate <= 1:
        raise RateError(f"the sampling rate of {pattern} is {rate}; give a share above 0 and up to 1")
    _rates[pattern] = rate
    bus.refresh()


def set_limit(pattern: str, per_second: float, burst: float | None = None) -> None:
    """Keep at most so many of the events of a name or pattern together; the most specific pattern holds.

    Args:
        pattern: As for `set_rate`.
        per_second: Events a second, in the long run.
        burst: Events at once; None is one second's.

    Raises:
        RateError: Not above 0, or a burst below 1.
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
    """Forget all rates and limits."""
    _rates.clear()
    _limits.clear()
    bus.refresh()


def compile_decision(event: str, span: str | None) -> Decide | None:
    """Return what decides on an event, or None if all are kept.

    Args:
        event: Its name.
        span: The span of which it is a phase: the phases share one decision, so the span's name counts.
    """
    rate = _most_specific(_rates, span or event)
    bucket = _most_specific(_limits, span or event)
    if bucket is None:
        return None if rate is None or rate == 1 else _by_rate(rate)
    by_rate = _by_rate(rate) if rate is not None else None
    return _by_limit(span or event, bucket, by_rate, is_start=span is not None and event.endswith(".start"))


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
        return weight if (random.random() if key is None else _share(key)) < rate else 0  # noqa: S311 - no secret

    return decide


def _share(key: object) -> float:
    """Return a number from 0 to 1 that is spread evenly, and the same for the same key (splitmix64)."""
    mixed = (hash(key) + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return ((mixed ^ (mixed >> 31)) >> 11) / (1 << 53)


def _by_limit(name: str, bucket: _Bucket, by_rate: Decide | None, *, is_start: bool) -> Decide:
    def decide(metadata: Mapping[str, Any]) -> float:
        if metadata.get("severity") in _SEVERE:
            return 1
        key = metadata.get("telemetry_span_context")
        if key is not None and not is_start and key in bucket.decided:
            return bucket.decided.pop(key)
        weight = by_rate(metadata) if by_rate else 1
        if weight:
            if bucket.takes():
                weight *= 1 + bucket.missed.pop(name, 0)
            else:
                bucket.missed[name] = bucket.missed.get(name, 0) + 1
                weight = 0
        if is_start and key is not None:
            if len(bucket.decided) >= OPEN_LIMIT:
                bucket.decided.clear()
            bucket.decided[key] = weight
        return weight

    return decide
