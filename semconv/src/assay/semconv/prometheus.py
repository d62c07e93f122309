"""Names of series and labels on `/metrics`.

Source: OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", section "Metric Metadata", as
the Collector and the Python exporter apply it.
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
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "%": "percent",
}


def series_name(name: str, unit: str, instrument: str) -> str:
    """Return the name of an instrument's series (for a histogram the base name).

    A counter ends in `_total`. A unit in braces adds nothing; `1` adds `ratio` to a gauge. A unit that is
    already one of the name's words is not added again.

    Args:
        name: Name of the instrument.
        unit: Its UCUM unit.
        instrument: Its kind, such as `counter`.
    """
    words = [word for word in re.split(r"[^a-zA-Z0-9:]+", name) if word]
    suffix = "ratio" if unit == "1" and instrument == "gauge" else _UNITS.get(unit, "")
    if suffix and suffix not in words:
        words.append(suffix)
    if instrument == "counter":
        words = [*(word for word in words if word != "total"), "total"]
    joined = "_".join(words)
    return f"_{joined}" if joined[:1].isdigit() else joined


def label_name(key: str) -> str:
    """Return the label of an attribute key: `_` replaces each character that a label cannot contain.

    A label begins with a letter, because Prometheus reserves those that begin with `__`. The label of an
    empty key is empty.
    """
    name = re.sub(r"[^a-zA-Z0-9_]", "_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    return f"key{name}" if name.startswith("_") else name
