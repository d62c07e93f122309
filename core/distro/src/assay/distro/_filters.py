"""Configures the bus's filters: sampling, rate limits, further keys and shapes to redact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from assay.distro._settings import Settings
from assay.telemetry import TelemetryError, set_limit, set_rate
from assay.telemetry.redaction import configure

_logger = logging.getLogger("assay.distro")


def apply(settings: Settings) -> None:
    """Set the filters. A pattern that the bus rejects is reported; the others are set."""
    if settings.redact_keys or settings.redact_shapes:
        configure(keys=settings.redact_keys, optional=settings.redact_shapes)
    _set_each("ASSAY_SAMPLING", settings.sampling, set_rate)
    _set_each("ASSAY_RATE_LIMIT", settings.rate_limit, set_limit)


def _set_each(name: str, numbers: Mapping[str, float], set_one: Callable[[str, float], None]) -> None:
    for pattern, number in numbers.items():
        try:  # for each pattern: a wrong one must not affect the others
            set_one(pattern, number)
        except TelemetryError as error:  # noqa: PERF203 - a handful, once
            _logger.warning("%s: %s=%g is not used: %s", name, pattern, number, error)
