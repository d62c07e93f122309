"""One figure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """A measured ratio and the bound it is held against.

    Args:
        name: What was measured.
        ratio: Median over the rounds of measured ÷ floor; where `note` says so, seconds over the floor.
        bound: What the ratio may be.
        sense: On which side of the bound it must lie.
        rounds: How many pairs were measured.
        note: The floor, and what a reader needs to judge the figure.
    """

    name: str
    ratio: float
    bound: float
    sense: Literal["at most", "at least"]
    rounds: int
    note: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side of its bound."""
        return self.ratio <= self.bound if self.sense == "at most" else self.ratio >= self.bound
