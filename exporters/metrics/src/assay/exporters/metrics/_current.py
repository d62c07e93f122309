"""Current values of live processes: gauges, and sums that rise and fall. They are in memory only.

A gauge's series shows the newest value that a process reported, a sum the total of all live processes. The
values of a process that stops reporting disappear.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from time import time

from assay.exporters.metrics._points import Family, Labels, Point


@dataclass(frozen=True, slots=True)
class CurrentValue:
    """A gauge on `/metrics`."""

    family: Family
    labels: Labels
    value: float


@dataclass(slots=True)
class _Values:
    """The newest points of one process, and when it last reported."""

    seen: float
    points: dict[tuple[str, Labels], Point] = field(default_factory=dict[tuple[str, Labels], Point])


class CurrentValues:
    """The current values of all live processes. All methods are thread-safe.

    Args:
        limit: Number of values that are kept.
        expire_seconds: Seconds after which a process that reports nothing counts as ended.
    """

    def __init__(self, limit: int, expire_seconds: float) -> None:
        self._limit = limit
        self._expire = expire_seconds
        self._lock = threading.Lock()
        self._processes: dict[bytes, _Values] = {}
        self._count = 0

    def add(self, points: Iterable[Point], *, now: float | None = None) -> int:
        """Keep the newest value of each series of each process; return how many were refused.

        A point that is as old as an ended process, such as one from a queue, is left out.
        """
        moment = time() if now is None else now
        refused = 0
        with self._lock:
            self._expire_processes(moment)
            for point in points:
                if point.time / 1e9 >= moment - self._expire:
                    refused += not self._keep(point, moment)
        return refused

    def snapshot(self, *, now: float | None = None) -> list[CurrentValue]:
        """Return one value for each series."""
        with self._lock:
            self._expire_processes(time() if now is None else now)
            series: dict[tuple[str, Labels], list[Point]] = {}
            for values in self._processes.values():
                for key, point in values.points.items():
                    series.setdefault(key, []).append(point)
        return [
            CurrentValue(points[0].family, points[0].labels, _merge(points)) for points in series.values()
        ]

    def _keep(self, point: Point, now: float) -> bool:
        values = self._processes.get(point.process)
        if values is None:
            if self._count >= self._limit:
                return False
            values = self._processes[point.process] = _Values(now)
        values.seen = now
        key = (point.family.name, point.labels)
        known = values.points.get(key)
        if known is None:
            if self._count >= self._limit:
                return False
            self._count += 1
        if known is None or known.time < point.time:
            values.points[key] = point
        return True

    def _expire_processes(self, now: float) -> None:
        ended = [process for process, values in self._processes.items() if values.seen < now - self._expire]
        for process in ended:
            self._count -= len(self._processes.pop(process).points)


def _merge(points: list[Point]) -> float:
    if points[0].family.kind == "updowncounter":
        return sum(point.vector[0] for point in points)
    return max(points, key=lambda point: point.time).vector[0]
