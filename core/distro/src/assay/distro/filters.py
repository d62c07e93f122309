"""The settings of the bus's filters: sampling, rate limits, further keys to redact."""

from __future__ import annotations

from assay.distro.settings import Settings


def apply(settings: Settings) -> None:
    """Set the filters; a pattern that is none is reported, the others hold."""
