"""The row of one figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """A measured ratio and its bound.

    Args:
        name: The subject.
        ratio: Median over the pairs of measured ÷ floor; if `note` says so, additional seconds.
        bound: The highest or lowest permitted ratio; None if there is none.
        sense: Whether `bound` is the highest or the lowest.
        pairs: Number of measured pairs.
        note: The floor, and facts that help to judge the figure.
    """

    name: str
    ratio: float
    bound: float | None
    sense: Literal["at most", "at least"]
    pairs: int
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Return whether the ratio is within its bound; None without a bound."""
        if self.bound is None:
            return None
        return self.ratio <= self.bound if self.sense == "at most" else self.ratio >= self.bound
