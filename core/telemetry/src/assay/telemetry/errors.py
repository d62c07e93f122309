"""The errors of this package. Emitting an event raises none of them, except inside `fail_closed`."""

from __future__ import annotations


class TelemetryError(Exception):
    """Base of this package's errors."""


class PatternError(TelemetryError, ValueError):
    """A string is neither an event name nor a pattern."""


class HandlerExistsError(TelemetryError, ValueError):
    """A handler with that id is already attached."""


class RateError(TelemetryError, ValueError):
    """A sampling rate or a rate limit is out of range."""


class PlanError(TelemetryError, ValueError):
    """The bridge cannot compile a catalogue."""


class BridgeConflictError(HandlerExistsError):
    """Another attached bridge already handles one of the events."""


class AuditNotAcceptedError(TelemetryError):
    """An audit record that the caller required was not accepted; the cause says why."""
