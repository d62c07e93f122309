"""The name that an instrument has on `/metrics`.

Source: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", metric metadata; and the
translation that the Collector and the Python exporter share.
"""

from __future__ import annotations

import re

_UNITS = {
    "ns": "nanoseconds",
    "us": "microseconds",
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
    "d": "days",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "%": "percent",
}


def series_name(name: str, unit: str, instrument: str) -> str:
    """Return the series name (for a histogram the base name) of an instrument.

    A unit in braces adds nothing, `1` adds `ratio` to a gauge, and a unit that the name already has among its
    words is not added twice. A counter ends in `_total`.
    """
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", name) if word]
    suffix = "ratio" if unit == "1" and instrument == "gauge" else _UNITS.get(unit, "")
    if suffix and suffix not in words:
        words.append(suffix)
    if instrument == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    return "_".join(words)
