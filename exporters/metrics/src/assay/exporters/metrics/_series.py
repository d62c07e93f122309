"""A series: the sum of a stream over all processes, and how points are added to it."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from operator import add, sub

from assay.exporters.metrics._points import ExemplarPoint, Family, Labels, Point, Vector


@dataclass(slots=True)
class Series:
    """A counter, histogram or summary on `/metrics`.

    Attributes:
        id: Its number in the database.
        family: Its family.
        labels: Its labels.
        bounds: Upper bounds of a histogram's buckets; those of its first point.
        total: The sum over all processes.
        seen: When a process last reported it, in Unix seconds.
        shown: When Prometheus first scraped it, at 0; None before that.
        started: Whether Prometheus has been given its total.
        exemplars: The newest exemplar of each bucket.
    """

    id: int
    family: Family
    labels: Labels
    bounds: Vector
    total: Vector
    seen: float
    shown: float | None = None
    started: bool = False
    exemplars: dict[int, ExemplarPoint] = field(default_factory=dict[int, ExemplarPoint])

    def fit(self, point: Point) -> Vector:
        """Return a point's numbers with this series' buckets.

        A bucket of a process with other bounds is added to the smallest bucket that contains it.
        """
        if point.family.kind != "histogram" or point.bounds == self.bounds:
            return point.vector
        count, total, *buckets = point.vector
        fitted = [0.0] * (len(self.bounds) + 1)
        for index, bucket in enumerate(buckets):
            upper = point.bounds[index] if index < len(point.bounds) else float("inf")
            fitted[bisect_left(self.bounds, upper)] += bucket
        return (count, total, *fitted)

    def keep_exemplars(self, point: Point) -> None:
        """Keep a point's exemplars that are the newest of their bucket."""
        for exemplar in point.exemplars:
            bucket = bisect_left(self.bounds, exemplar.value)
            known = self.exemplars.get(bucket)
            if known is None or known.time < exemplar.time:
                self.exemplars[bucket] = exemplar


def plus(left: Vector, right: Vector) -> Vector:
    """Return the sums of two vectors' numbers."""
    return tuple(map(add, left, right))


def minus(left: Vector, right: Vector) -> Vector:
    """Return the differences of two vectors' numbers."""
    return tuple(map(sub, left, right))
