"""What stands before the handlers."""

from __future__ import annotations

from assay.telemetry import bus

_exempt: frozenset[str] = frozenset()


def exempt(events: frozenset[str]) -> None:
    """Say which events are neither sampled nor limited."""
    global _exempt  # noqa: PLW0603 - the bus is one to a process
    _exempt = events
    bus.refresh()
