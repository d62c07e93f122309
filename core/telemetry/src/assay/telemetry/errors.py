"""What can go wrong in asking something of the bus; emitting raises nothing."""

from __future__ import annotations


class TelemetryError(Exception):
    """Base of this package's errors."""


class PatternError(TelemetryError, ValueError):
    """A name that is neither an event nor a pattern."""


class HandlerExistsError(TelemetryError, ValueError):
    """A handler of that id is attached already."""


class RateError(TelemetryError, ValueError):
    """A sampling rate or a rate limit out of its range."""


class PlanError(TelemetryError, ValueError):
    """A catalogue that the bridge cannot compile."""
