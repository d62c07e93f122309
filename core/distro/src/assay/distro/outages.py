"""One warning when the Collector takes nothing, instead of one for every attempt.

Upstream's exporters log each retry and each failure. A filter on their loggers lets one message a minute
through, in words that say what it means for the app.
"""

from __future__ import annotations

import logging
import math
import os
import re
from time import monotonic

from assay.distro.settings import without_credentials

INTERVAL = 60.0
"""Seconds between two warnings."""
RECENT = 20.0
"""Seconds for which a failed export says that the next will fail too."""

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
    """Rewrites the first report of an outage, and drops the others for a while."""

    def __init__(self) -> None:
        super().__init__()
        self._silent_until = 0.0
        self.last = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is told."""
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
            "the Collector at %s takes no telemetry (%s). The app goes on; "
            "what does not fit its buffers is lost. Start the Collector (assay collector run "
            "all-in-one), or set OTEL_EXPORTER_OTLP_ENDPOINT. "
            "`assay doctor` tells more."
        )
        reason = short.group(1).strip() if short else without_credentials(message)
        record.args = (endpoint(record.name, message), reason)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        return True


_OUTAGES = OutageFilter()


def endpoint(logger: str, message: str) -> str:
    """The endpoint, as it may be shown, of the signal that an exporter's logger or its message names."""
    signal = _SIGNAL.search(logger.rpartition(".")[2]) or _SIGNAL.search(message)
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal[0].upper()}S_ENDPOINT", "") if signal else ""
    return without_credentials(own or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))


def is_likely() -> bool:
    """Whether an export failed a short while ago: the end of the program need not wait long for the next."""
    return monotonic() - _OUTAGES.last < RECENT


def install() -> None:
    """Put one filter before all the exporters' loggers."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_OUTAGES)
    # the pool's "Connection pool is full" and "Retrying" are the same news again
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
