"""One warning a minute while the Collector accepts nothing, not one for each attempt.

Upstream's exporters log each retry and each failure. A filter on their loggers passes one message a minute
and rewrites it, to say what is lost and what to do.
"""

from __future__ import annotations

import logging
import math
import os
import re
from time import monotonic

from assay.distro._otel_variables import SHARED_ENDPOINT, otlp_variable
from assay.endpoints import without_credentials
from assay.telemetry.redaction import redact_text

INTERVAL = 60.0
"""Seconds between two warnings."""
RECENT = 20.0
"""Seconds after a failed export in which the next one is expected to fail too."""

_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
)
_OUTAGE = re.compile(r"Transient error|Failed to export")
_AT_THE_END = re.compile(r"already shutdown|Shutdown in progress")
_REASON = re.compile(r"(?:Errno \d+\] |Failed to connect to remote host: )([^'\")]+)")
_SIGNAL = re.compile(r"trace|metric|log")


class OutageFilter(logging.Filter):
    """Rewrites the first report of an outage, and drops the others for a minute."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0
        self.last = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is logged."""
        if _AT_THE_END.search(record.msg):
            return False
        if not _OUTAGE.match(record.msg):
            return True
        now = self.last = monotonic()
        if now < self._silent_until:
            return False
        self._silent_until = now + INTERVAL
        message = record.getMessage()
        short = _REASON.search(message)
        record.msg = (
            "the Collector at %s does not accept telemetry (%s). The application continues; telemetry beyond "
            "its buffers is lost. Start the Collector (assay collector run all-in-one), or set "
            "OTEL_EXPORTER_OTLP_ENDPOINT. `assay doctor` shows more."
        )
        reason = redact_text(short.group(1).strip() if short else without_credentials(message))
        record.args = (endpoint(record.name, message), reason)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_OUTAGES = OutageFilter()


def endpoint(logger: str, message: str) -> str:
    """Return the endpoint of the signal that an exporter's logger or message names, without credentials."""
    signal = _SIGNAL.search(logger.rpartition(".")[2]) or _SIGNAL.search(message)
    own = os.environ.get(otlp_variable("ENDPOINT", f"{signal[0].upper()}S"), "") if signal else ""
    return redact_text(without_credentials(own or os.environ.get(SHARED_ENDPOINT, "")))


def is_likely() -> bool:
    """Return whether an export has just failed, so that waiting long for the last one is not worth it."""
    return monotonic() - _OUTAGES.last < RECENT


def install() -> None:
    """Add one filter to the loggers of all exporters."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_OUTAGES)
