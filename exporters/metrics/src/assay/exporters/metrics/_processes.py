"""The newest points of one process: with them a point that arrives again, late or never adds nothing twice.

A stream is identified by its series and its start. Its value only grows, so the larger of two points is the
newer one, in whatever order they arrive, and the difference is what the process has counted in between.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from assay.exporters.metrics._points import Vector
from assay.exporters.metrics._series import minus

STARTS = 64
"""Streams of one series that a process keeps. Each interval of a delta stream is a stream of its own."""


@dataclass(slots=True)
class Stream:
    """The newest point of a stream: its start and time in Unix nanoseconds, and its numbers."""

    start: int
    time: int
    vector: Vector


@dataclass(slots=True)
class Process:
    """The streams of a process, by the number of their series.

    Attributes:
        streams: The streams of each series, in the order of their starts.
        changed: Whether a point has changed the streams.
        baseline_after: Nanoseconds after which the first point of a stream adds nothing; None for a known
            process. A process that has run for longer was forgotten, and its total was counted before.
    """

    streams: dict[int, list[Stream]] = field(default_factory=dict[int, list[Stream]])
    baseline_after: int | None = None
    changed: bool = False

    def advance(self, series: int, point: Stream) -> Vector:
        """Note a point and return what its process has counted since the newest known one."""
        streams = self.streams.setdefault(series, [])
        known = next((stream for stream in streams if stream.start == point.start), None)
        if known is None:
            return self._begin(streams, point)
        if point.vector[0] > known.vector[0]:
            counted = minus(point.vector, known.vector)
        elif point.start == 0 and point.time > known.time and point.vector[0] < known.vector[0]:
            counted = point.vector  # without a start, a smaller value is the only sign of a new process
        else:
            return _zeros(point.vector)
        known.time, known.vector = point.time, point.vector
        self.changed = True
        return counted

    def _begin(self, streams: list[Stream], point: Stream) -> Vector:
        if len(streams) >= STARTS and point.start < streams[0].start:
            return _zeros(point.vector)  # older than all that are kept: it was counted and forgotten
        self.changed = True
        streams.append(point)
        streams.sort(key=lambda stream: stream.start)
        del streams[:-STARTS]
        return _zeros(point.vector) if self._was_forgotten(point) else point.vector

    def _was_forgotten(self, point: Stream) -> bool:
        if self.baseline_after is None or point.start == 0:
            return False
        return point.time - point.start > self.baseline_after

    def dump(self) -> str:
        """Return the streams as JSON."""
        return json.dumps(
            {
                series: [(stream.start, stream.time, *stream.vector) for stream in streams]
                for series, streams in self.streams.items()
            },
            separators=(",", ":"),
        )


def load(text: str) -> Process:
    """Return the process that `dump` wrote."""
    return Process(
        {
            int(series): [Stream(start, time, tuple(vector)) for start, time, *vector in streams]
            for series, streams in json.loads(text).items()
        }
    )


def _zeros(vector: Vector) -> Vector:
    return (0,) * len(vector)
