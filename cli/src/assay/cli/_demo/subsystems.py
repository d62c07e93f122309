"""Find the names of each subsystem's seed that have arrived, and those that have not."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from assay.cli._demo.seeds import SEEDS


@dataclass(frozen=True)
class Subsystem:
    """The names of one subsystem's seed.

    Args:
        events: Number of events that have arrived as spans or log events.
        series: Number of series that have arrived.
        missing: The names that have not arrived.
        not_run: Why a part of the subsystem was not run here.
    """

    events: int = 0
    series: int = 0
    missing: list[str] = field(default_factory=list[str])
    not_run: list[str] = field(default_factory=list[str])

    def as_json(self) -> dict[str, Any]:
        """Return one member of `subsystems` in the demo's JSON object."""
        return {
            "events": self.events,
            "series": self.series,
            "missing": self.missing,
            "not_run": self.not_run,
        }

    @property
    def mismatches(self) -> list[str]:
        """A line for each missing name; none if a part was not run, since names may then be missing."""
        return [] if self.not_run else [f"{name}: it has not arrived" for name in self.missing]


def find_arrived(
    events: Collection[str], series: Iterable[str], not_run: Mapping[str, list[str]]
) -> dict[str, Subsystem]:
    """Return the subsystems by name.

    Args:
        events: The names of the log events, and the events of the spans, that have arrived.
        series: The names of the series that have arrived.
        not_run: Why a part of a subsystem was not run, by subsystem.
    """
    arrived = {*events, *series}
    found: dict[str, Subsystem] = {}
    for name, seed in SEEDS.items():
        missing = [each for each in (*seed.events, *seed.series) if each not in arrived]
        found[name] = Subsystem(
            len(arrived.intersection(seed.events)),
            len(arrived.intersection(seed.series)),
            missing,
            not_run.get(name, []),
        )
    return found
