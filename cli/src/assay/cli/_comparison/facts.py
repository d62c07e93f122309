"""Facts that Dagster records and that the far end receives, in one form."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple


class Fact(NamedTuple):
    """One thing that happened.

    Args:
        kind: The event of the registry without its subsystem, such as `materialization.stop`.
        run: The run's id; empty outside runs.
        asset: The asset's key, empty if the fact is not about an asset.
        partition: The asset's partition, empty if it has none.
        detail: What else distinguishes the fact: an outcome, the name of a check, an IO manager.
    """

    kind: str
    run: str = ""
    asset: str = ""
    partition: str = ""
    detail: str = ""

    def __str__(self) -> str:
        """Return the fact as a line names it."""
        about = {"run": self.run, "asset": self.asset, "partition": self.partition, "detail": self.detail}
        return " ".join([self.kind, *(f"{name}={value}" for name, value in about.items() if value)])


class Facts(dict[str, "Counter[Fact]"]):
    """How often each fact occurs, by signal: `log events`, `spans`, `series`, `audit log`, `CDEvents`."""

    def add(self, signal: str, fact: Fact, number: int = 1) -> None:
        """Count a fact of a signal."""
        self.setdefault(signal, Counter())[fact] += number

    def of_runs(self, runs: set[str]) -> Facts:
        """Return the facts of some runs. Series do not name runs and are left out."""
        chosen = Facts()
        for signal, counts in self.items():
            for fact, number in counts.items():
                if fact.run in runs:
                    chosen.add(signal, fact, number)
        return chosen


LOG, SPAN, SERIES, AUDIT, CDEVENT = "log events", "spans", "series", "audit log", "CDEvents"
