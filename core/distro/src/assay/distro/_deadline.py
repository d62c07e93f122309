"""The time at which the last exports of the process must be over."""

from __future__ import annotations

from time import monotonic

LEAST_AT_EXIT = 0.5
"""Seconds that each signal gets at least, when the signals before it have used up the time."""


class Deadline:
    """The time at which all exports must be over, once the program ends."""

    def __init__(self) -> None:
        self._started = 0.0
        self._at: float | None = None

    def start(self, seconds: float) -> None:
        """Set the deadline, in seconds from now."""
        self._started = monotonic()
        self._at = self._started + seconds

    def exclude_since(self, begun: float) -> None:
        """Move the deadline, if there is one, by the time that something else than an export has taken.

        Args:
            begun: When it began, by the monotonic clock; the time before `start` is left out.
        """
        if self._at is not None:
            self._at += monotonic() - max(begun, self._started)

    def remaining(self) -> float:
        """Return the seconds until the deadline; 0 after it, and if there is none."""
        return 0.0 if self._at is None else max(0.0, self._at - monotonic())

    def left(self) -> float:
        """Return the seconds that one signal may still take."""
        return 30.0 if self._at is None else max(LEAST_AT_EXIT, self.remaining())


EXIT = Deadline()
