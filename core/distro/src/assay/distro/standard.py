"""The `OTEL_*` variables: the defaults that differ from the specification's, and the mending of wrong values.

The SDK gives up on a name or number that it does not understand, and the app then runs without any telemetry.
Here a wrong value is reported, and for the time of the configuration the environment holds the default in its
place.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from assay.distro.errors import SettingError
from assay.distro.settings import without_credentials

SIGNALS = ("TRACES", "METRICS", "LOGS")
HTTP, GRPC = "http/protobuf", "grpc"
ENDPOINTS = {HTTP: "http://127.0.0.1:4318", GRPC: "http://127.0.0.1:4317"}
PROMETHEUS, LOCAL_PROMETHEUS = "prometheus", "assay_prometheus"

DEFAULTS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": HTTP,
    "OTEL_EXPORTER_OTLP_ENDPOINT": ENDPOINTS[HTTP],
    "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "host,os,process,assay",
}
"""What a variable is when nobody set it."""


@dataclass(frozen=True, slots=True)
class _Check:
    allowed: str
    holds: Callable[[str], bool]


def _number(least: float, most: float = math.inf) -> Callable[[str], bool]:
    def holds(text: str) -> bool:
        try:
            return least <= float(text) <= most and not math.isinf(float(text))
        except ValueError:
            return False

    return holds


def _whole(least: int, most: float = math.inf) -> Callable[[str], bool]:
    return lambda text: text.strip().isascii() and text.strip().isdigit() and least <= int(text) <= most


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


_URL = _Check("an http or https URL, such as http://127.0.0.1:4318", _is_url)
_SECONDS = _Check("seconds, more than 0", _number(1e-9))
_MILLISECONDS = _Check("milliseconds, more than 0", _number(1e-9))
_COUNT = _Check("a whole number, 1 or more", _whole(1))
_COMPRESSION = _Check("none, gzip or deflate", lambda text: text.lower() in {"none", "gzip", "deflate"})
_PORT = _Check("a port, 0 to 65535", _whole(0, 65535))
_TEMPORALITY = _Check(
    "cumulative, delta or lowmemory", lambda text: text.upper() in {"CUMULATIVE", "DELTA", "LOWMEMORY"}
)


def _otlp(suffix: str, check: _Check) -> dict[str, _Check]:
    names = ("", *(f"{signal}_" for signal in SIGNALS))
    return {f"OTEL_EXPORTER_OTLP_{name}{suffix}": check for name in names}


CHECKS: Mapping[str, _Check] = {
    **_otlp("ENDPOINT", _URL),
    **_otlp("TIMEOUT", _SECONDS),
    **_otlp("COMPRESSION", _COMPRESSION),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _TEMPORALITY,
    "OTEL_EXPORTER_PROMETHEUS_PORT": _PORT,
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
    **{f"OTEL_{processor}_{what}": _COUNT for processor in ("BSP", "BLRP")
       for what in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT")},
    "OTEL_SDK_DISABLED": _Check("true or false", lambda text: text.strip().lower() in {"true", "false"}),
}  # fmt: skip
"""Variables that the SDK reads, and what it can do with."""


def set_defaults() -> None:
    """Put the defaults into the environment, where nobody set the variable; children inherit them."""
    for name, value in DEFAULTS.items():
        if os.environ.get(name, "").strip() or name == "OTEL_EXPORTER_OTLP_ENDPOINT":
            continue
        os.environ[name] = value
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip():
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = ENDPOINTS.get(protocol(), ENDPOINTS[HTTP])


def protocol() -> str:
    """The OTLP protocol of the signals that have none of their own."""
    return os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", HTTP).strip()


def is_disabled() -> bool:
    """Whether OTEL_SDK_DISABLED turns everything off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def mended() -> tuple[dict[str, str | None], list[SettingError]]:
    """Return what the environment has to hold for the SDK to start (None: unset), and what was wrong."""
    changes: dict[str, str | None] = {}
    errors: list[SettingError] = []
    for name, check in CHECKS.items():
        text = os.environ.get(name, "").strip()
        if text and not check.holds(text):
            changes[name] = DEFAULTS.get(name)
            used = DEFAULTS.get(name, "the default")
            errors.append(SettingError(name, without_credentials(text), check.allowed, used))
    for signal in SIGNALS:
        _mend_exporters(signal, changes, errors)
    for name in (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        *(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL" for signal in SIGNALS),
    ):
        _mend_protocol(name, changes, errors)
    return changes, errors


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Generator[None]:
    """Hold the environment changed, and put it back."""
    before = {name: os.environ.get(name) for name in changes}
    _apply(changes)
    try:
        yield
    finally:
        _apply(before)


def _apply(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _mend_exporters(signal: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name = f"OTEL_{signal}_EXPORTER"
    text = os.environ.get(name, "").strip()
    known = {entry.name for entry in entry_points(group=f"opentelemetry_{signal.lower()}_exporter")}
    wanted = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    kept: list[str] = []
    for part in wanted:
        if part in known or part in {"otlp", "none"}:
            kept.append(LOCAL_PROMETHEUS if part == PROMETHEUS else part)
        else:
            allowed = ", ".join(sorted({"otlp", "none", *known} - {LOCAL_PROMETHEUS}))
            errors.append(SettingError(name, part, f"one or more of {allowed}", ", ".join(kept) or "otlp"))
    kept = [part for part in kept if part != "none"] or (["none"] if "none" in kept else [DEFAULTS[name]])
    if kept != wanted:
        changes[name] = ",".join(kept)


def _mend_protocol(name: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    text = os.environ.get(name, "").strip()
    if text in {"", HTTP}:
        return
    if text == GRPC:
        if any(entry_points(group="opentelemetry_traces_exporter", name="otlp_proto_grpc")):
            return
        allowed = f"{HTTP}, or grpc once assay-distro[grpc] is installed (pip install 'assay-distro[grpc]')"
    else:
        allowed = f"{HTTP} or grpc"
    errors.append(SettingError(name, text, allowed, HTTP))
    changes[name] = HTTP
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") == ENDPOINTS[GRPC]:
        changes["OTEL_EXPORTER_OTLP_ENDPOINT"] = ENDPOINTS[HTTP]
