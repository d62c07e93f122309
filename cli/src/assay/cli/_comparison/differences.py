"""The differences between what Dagster recorded and what arrived."""

from __future__ import annotations

from collections import Counter

from assay.cli._comparison.facts import Facts


def differences(recorded: Facts, arrived: Facts) -> list[str]:
    """Return a line for each fact that arrived more or less often than Dagster recorded it.

    Args:
        recorded: The facts of Dagster's event log, by the signals that must carry them.
        arrived: The facts at the far end.
    """
    return [
        f"{signal}: {fact}: Dagster recorded {wanted[fact]}, {found[fact]} arrived"
        for signal in sorted({*recorded, *arrived})
        for wanted, found in [(recorded.get(signal, Counter()), arrived.get(signal, Counter()))]
        for fact in sorted({*wanted, *found})
        if wanted[fact] != found[fact]
    ]
