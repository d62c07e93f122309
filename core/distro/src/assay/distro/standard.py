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
SHARED_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROMETHEUS, LOCAL_PROMETHEUS = "prometheus", "assay_prometheus"

QUEUE, BATCH = 2048, 512
"""The specification's defaults of the batch processors' sizes."""

DEFAULTS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": HTTP,
    SHARED_ENDPOINT: ENDPOINTS[HTTP],
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


def _is_target(text: str) -> bool:
    """Whether it is a URL, or what gRPC takes as well: a host and a port."""
    try:
        return _is_url(text) or bool((parts := urlsplit(f"//{text}")).hostname and parts.port)
    except ValueError:
        return False


_TARGET = _Check("an http or https URL, or host:port", _is_target)
_URL = _Check("an http or https URL, such as http://127.0.0.1:4318", _is_url)
_SECONDS = _Check("seconds, more than 0", _number(1e-9))
_MILLISECONDS = _Check("milliseconds, more than 0", _number(1e-9))
_COUNT = _Check("a whole number, 1 or more", _whole(1))
_COMPRESSION = _Check("none, gzip or deflate", lambda text: text.lower() in {"none", "gzip", "deflate"})
_PORT = _Check("a port, 0 to 65535", _whole(0, 65535))
_TEMPORALITY = _Check(
    "cumulative, delta or lowmemory", lambda text: text.upper() in {"CUMULATIVE", "DELTA", "LOWMEMORY"}
)


LIMITS = (
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
    "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT",
    "OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
    "OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT",
)  # fmt: skip


def _otlp(what: str, signal: str = "") -> str:
    """The variable of a signal's OTLP exporter, or the one that the signals share."""
    return "_".join(part for part in ("OTEL_EXPORTER_OTLP", signal, what) if part)


def _each_otlp(what: str, check: _Check) -> dict[str, _Check]:
    return {_otlp(what, signal): check for signal in ("", *SIGNALS)}


CHECKS: Mapping[str, _Check] = {
    **_each_otlp("ENDPOINT", _URL),
    **_each_otlp("TIMEOUT", _SECONDS),
    **_each_otlp("COMPRESSION", _COMPRESSION),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _TEMPORALITY,
    "OTEL_EXPORTER_PROMETHEUS_PORT": _PORT,
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
    **{f"OTEL_{processor}_{what}": _COUNT for processor in ("BSP", "BLRP")
       for what in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT")},
    **dict.fromkeys(LIMITS, _Check("a whole number, 0 or more", _whole(0))),
    "OTEL_SDK_DISABLED": _Check("true or false", lambda text: text.strip().lower() in {"true", "false"}),
}  # fmt: skip
"""Variables that the SDK reads, and what it can do with."""


def set_defaults() -> None:
    """Put the defaults into the environment, where nobody set the variable; children inherit them."""
    for name, value in DEFAULTS.items():
        if os.environ.get(name, "").strip() or name == SHARED_ENDPOINT:
            continue
        os.environ[name] = value
    if not os.environ.get(SHARED_ENDPOINT, "").strip():
        os.environ[SHARED_ENDPOINT] = ENDPOINTS.get(protocol(), ENDPOINTS[HTTP])
        for signal in SIGNALS:
            _set_default_endpoint(signal)


def _set_default_endpoint(signal: str) -> None:
    """A signal with a protocol of its own has a port of its own too: where the Collector takes that one."""
    name, own = _otlp("ENDPOINT", signal), protocol(signal)
    if own in ENDPOINTS and own != protocol() and not os.environ.get(name, "").strip():
        os.environ[name] = ENDPOINTS[own] + (f"/v1/{signal.lower()}" if own == HTTP else "")


def _signal(name: str) -> str:
    """The signal of a variable of the OTLP exporters, empty for what they share."""
    return next((signal for signal in SIGNALS if f"_{signal}_" in name), "")


def protocol(signal: str = "") -> str:
    """The OTLP protocol of a signal, or of the signals that have none of their own."""
    own = os.environ.get(_otlp("PROTOCOL", signal), "").strip()
    return own or os.environ.get(_otlp("PROTOCOL"), HTTP).strip()


def is_disabled() -> bool:
    """Whether OTEL_SDK_DISABLED turns everything off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def mended() -> tuple[dict[str, str | None], list[SettingError]]:
    """Return what the environment has to hold for the SDK to start (None: unset), and what was wrong."""
    changes: dict[str, str | None] = {}
    errors: list[SettingError] = []
    for name, usual in CHECKS.items():
        text = os.environ.get(name, "").strip()
        check = _TARGET if usual is _URL and protocol(_signal(name)) == GRPC else usual
        if not text and name in os.environ:
            changes[name] = None
        elif text and not check.holds(text):
            changes[name] = ENDPOINTS.get(protocol()) if name == SHARED_ENDPOINT else None
            used = changes[name] or "the default"
            errors.append(SettingError(name, without_credentials(text), check.allowed, used))
    for signal in SIGNALS:
        _mend_exporters(signal, changes, errors)
    _mend_detectors(changes, errors)
    for processor in ("BSP", "BLRP"):
        _mend_batch(f"OTEL_{processor}", changes, errors)
    for signal in ("", *SIGNALS):
        _mend_protocol(signal, changes, errors)
    _mend_compression(changes, errors)
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
    right = [part for part in wanted if part in known or part in {"otlp", "none"}]
    kept = [part for part in right if part != "none"] or (["none"] if "none" in right else [DEFAULTS[name]])
    allowed = ", ".join(sorted({"otlp", "none", *known} - {LOCAL_PROMETHEUS}))
    errors += [
        SettingError(name, part, f"one or more of {allowed}", ", ".join(kept))
        for part in wanted
        if part not in right
    ]
    taken = [LOCAL_PROMETHEUS if part == PROMETHEUS else part for part in kept]
    if taken != wanted:
        changes[name] = ",".join(taken)


def _mend_detectors(changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
    known = {entry.name for entry in entry_points(group="opentelemetry_resource_detector")}
    wanted = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
    kept = [part for part in wanted if part in {*known, "*"}]
    if kept != wanted:
        changes[name] = ",".join(kept) or DEFAULTS[name]
        allowed, used = f"one or more of {', '.join(sorted(known))}, or *", changes[name] or ""
        errors += [SettingError(name, part, allowed, used) for part in wanted if part not in kept]


def _mend_batch(processor: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    """The SDK gives up when a batch is larger than the queue, also when only the queue was made smaller."""
    queue_name, batch_name = f"{processor}_MAX_QUEUE_SIZE", f"{processor}_MAX_EXPORT_BATCH_SIZE"
    given = {name: os.environ.get(name, "").strip() for name in (queue_name, batch_name)}
    right = {name: text for name, text in given.items() if text and name not in changes}
    queue, batch = int(right.get(queue_name, QUEUE)), int(right.get(batch_name, BATCH))
    if batch <= queue:
        return
    changes[batch_name] = str(queue)
    if batch_name in right:
        allowed = f"at most {queue_name}, {queue}"
        errors.append(SettingError(batch_name, right[batch_name], allowed, str(queue)))


def _mend_compression(changes: dict[str, str | None], errors: list[SettingError]) -> None:
    """The gRPC exporters know gzip alone, and no name for none."""
    for signal in ("", *SIGNALS):
        name = _otlp("COMPRESSION", signal)
        text = os.environ.get(name, "").strip()
        grpc = any(
            changes.get(_otlp("PROTOCOL", one), protocol(one)) == GRPC
            for one in ([signal] if signal else SIGNALS)
        )
        if grpc and name not in changes and text and text.lower() != "gzip":
            changes[name] = None
            if text.lower() != "none":
                errors.append(SettingError(name, text, "none or gzip over gRPC", "none"))


def _mend_protocol(signal: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name, endpoint = _otlp("PROTOCOL", signal), _otlp("ENDPOINT", signal)
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
    if os.environ.get(endpoint) == ENDPOINTS[GRPC]:
        changes[endpoint] = DEFAULTS.get(endpoint)
