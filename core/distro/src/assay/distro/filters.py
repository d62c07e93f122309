"""The settings of the bus's filters: sampling, rate limits, further keys to redact."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from assay.distro.settings import Settings
from assay.telemetry import TelemetryError, set_limit, set_rate
from assay.telemetry.redaction import configure

_logger = logging.getLogger("assay.distro")


def apply(settings: Settings) -> None:
    """Set the filters; what the bus does not take is reported, the rest holds."""
    if settings.redact_keys:
        configure(keys=settings.redact_keys)
    _set_each("ASSAY_SAMPLING", settings.sampling, set_rate)
    _set_each("ASSAY_RATE_LIMIT", settings.rate_limit, set_limit)


def _set_each(name: str, numbers: Mapping[str, float], set_one: Callable[[str, float], None]) -> None:
    for pattern, number in numbers.items():
        try:  # one wrong pattern must not cost the others
            set_one(pattern, number)
        except TelemetryError as error:  # noqa: PERF203 - a handful, once
            _logger.warning("%s: %s=%g is not used: %s", name, pattern, number, error)
