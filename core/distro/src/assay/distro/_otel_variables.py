"""The `OTEL_*` variables: defaults that differ from the specification's, and corrections of wrong values.

With a name or number that the SDK does not understand, it stops its configuration, and the application runs
without any telemetry. Here a wrong value is reported, and while the SDK configures itself the environment
holds the default instead.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry.util._importlib_metadata import entry_points  # pyright: ignore[reportUnknownVariableType]

from assay.distro._errors import SettingError
from assay.endpoints import EndpointError, check_http_url, parse_address

SIGNALS = ("TRACES", "METRICS", "LOGS")
HTTP, GRPC = "http/protobuf", "grpc"
ENDPOINTS = {HTTP: "http://127.0.0.1:4318", GRPC: "http://127.0.0.1:4317"}
SHARED_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROMETHEUS, LOCAL_PROMETHEUS = "prometheus", "assay_prometheus"
DEFERRED_OTLP = "assay_otlp_http"
"""The entry point of `assay.distro.otlp_http`, which stands for `otlp` while the SDK configures itself."""

QUEUE, BATCH = 2048, 512
"""The specification's defaults for the sizes of the batch processors."""

DEFAULTS = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_METRICS_EXPORTER": "otlp",
    "OTEL_LOGS_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": HTTP,
    SHARED_ENDPOINT: ENDPOINTS[HTTP],
    "OTEL_EXPORTER_PROMETHEUS_HOST": "127.0.0.1",
    "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS": "host,os,process,assay",
}
"""The values of variables that are not set."""


@dataclass(frozen=True, slots=True)
class _Check:
    """The allowed values of a variable, for people, and whether a text is one."""

    allowed: str
    accepts: Callable[[str], bool]


def _is_positive(text: str) -> bool:
    try:
        return 0 < float(text) < math.inf
    except ValueError:
        return False


def _whole(minimum: int, maximum: float = math.inf) -> Callable[[str], bool]:
    return lambda text: text.strip().isascii() and text.strip().isdigit() and minimum <= int(text) <= maximum


def _is_url(text: str) -> bool:
    try:
        check_http_url(text)
    except EndpointError:
        return False
    return True


def _is_grpc_target(text: str) -> bool:
    """Return whether the gRPC exporters accept a text: a URL, or a host and a port."""
    try:
        return _is_url(text) or parse_address(text).port > 0
    except EndpointError:
        return False


_GRPC_TARGET = _Check("an http or https URL, or host:port", _is_grpc_target)
_URL = _Check("an http or https URL, such as http://127.0.0.1:4318", _is_url)
_SECONDS = _Check("seconds, more than 0", _is_positive)
_MILLISECONDS = _Check("milliseconds, more than 0", _is_positive)
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


def otlp_variable(option: str, signal: str = "") -> str:
    """Return the name of an OTLP exporter's variable.

    Args:
        option: Such as `ENDPOINT`.
        signal: `TRACES`, `METRICS` or `LOGS`; empty: the variable that the signals share.
    """
    return "_".join(part for part in ("OTEL_EXPORTER_OTLP", signal, option) if part)


def _for_each_signal(option: str, check: _Check) -> dict[str, _Check]:
    return {otlp_variable(option, signal): check for signal in ("", *SIGNALS)}


CHECKS: Mapping[str, _Check] = {
    **_for_each_signal("ENDPOINT", _URL),
    **_for_each_signal("TIMEOUT", _SECONDS),
    **_for_each_signal("COMPRESSION", _COMPRESSION),
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": _TEMPORALITY,
    "OTEL_EXPORTER_PROMETHEUS_PORT": _PORT,
    "OTEL_METRIC_EXPORT_INTERVAL": _MILLISECONDS,
    "OTEL_METRIC_EXPORT_TIMEOUT": _MILLISECONDS,
    **{f"OTEL_{processor}_{option}": _COUNT for processor in ("BSP", "BLRP")
       for option in ("SCHEDULE_DELAY", "MAX_QUEUE_SIZE", "MAX_EXPORT_BATCH_SIZE", "EXPORT_TIMEOUT")},
    **dict.fromkeys(LIMITS, _Check("a whole number, 0 or more", _whole(0))),
    "OTEL_SDK_DISABLED": _Check("true or false", lambda text: text.strip().lower() in {"true", "false"}),
}  # fmt: skip
"""Variables that the SDK reads, and the values that it understands."""


def set_defaults() -> None:
    """Set the variables that are not set to their defaults; child processes inherit them."""
    for name, value in DEFAULTS.items():
        if os.environ.get(name, "").strip() or name == SHARED_ENDPOINT:
            continue
        os.environ[name] = value
    if not os.environ.get(SHARED_ENDPOINT, "").strip():
        os.environ[SHARED_ENDPOINT] = ENDPOINTS.get(protocol(), ENDPOINTS[HTTP])
        for signal in SIGNALS:
            _set_default_endpoint(signal)


def _set_default_endpoint(signal: str) -> None:
    """Set the endpoint of a signal whose protocol differs: the Collector has a port for each protocol."""
    name, own = otlp_variable("ENDPOINT", signal), protocol(signal)
    if own in ENDPOINTS and own != protocol() and not os.environ.get(name, "").strip():
        os.environ[name] = ENDPOINTS[own] + (f"/v1/{signal.lower()}" if own == HTTP else "")


def _signal(name: str) -> str:
    """Return the signal of an OTLP exporter's variable; empty for one that the signals share."""
    return next((signal for signal in SIGNALS if f"_{signal}_" in name), "")


def protocol(signal: str = "") -> str:
    """Return the OTLP protocol of a signal, or of the signals without one of their own."""
    own = os.environ.get(otlp_variable("PROTOCOL", signal), "").strip()
    return own or os.environ.get(otlp_variable("PROTOCOL"), HTTP).strip()


def is_disabled() -> bool:
    """Return whether OTEL_SDK_DISABLED turns everything off."""
    return os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def corrections() -> tuple[dict[str, str | None], list[SettingError]]:
    """Return the changes of the environment with which the SDK starts, and an error for each wrong value.

    A change is a variable and its value; None: not set.
    """
    changes: dict[str, str | None] = {}
    errors: list[SettingError] = []
    for name, stated in CHECKS.items():
        text = os.environ.get(name, "").strip()
        check = _GRPC_TARGET if stated is _URL and protocol(_signal(name)) == GRPC else stated
        if not text and name in os.environ:
            changes[name] = None
        elif text and not check.accepts(text):
            changes[name] = ENDPOINTS.get(protocol()) if name == SHARED_ENDPOINT else None
            used = changes[name] or "the default"
            errors.append(SettingError(name, text, check.allowed, used))
    for signal in SIGNALS:
        _correct_exporters(signal, changes, errors)
    _correct_detectors(changes, errors)
    for processor in ("BSP", "BLRP"):
        _correct_batch(f"OTEL_{processor}", changes, errors)
    for signal in ("", *SIGNALS):
        _correct_protocol(signal, changes, errors)
    _correct_compression(changes, errors)
    return changes, errors


@contextmanager
def environment(changes: Mapping[str, str | None]) -> Generator[None]:
    """Change the environment inside the block, and restore it afterwards."""
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


def _correct_exporters(signal: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name = f"OTEL_{signal}_EXPORTER"
    text = os.environ.get(name, "").strip()
    known = {entry.name for entry in entry_points(group=f"opentelemetry_{signal.lower()}_exporter")}
    given = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    valid = [part for part in given if part in known or part in {"otlp", "none"}]
    used = [part for part in valid if part != "none"] or (["none"] if "none" in valid else [DEFAULTS[name]])
    allowed = ", ".join(sorted({"otlp", "none", *known} - {LOCAL_PROMETHEUS, DEFERRED_OTLP}))
    errors += [
        SettingError(name, part, f"one or more of {allowed}", ", ".join(used))
        for part in given
        if part not in valid
    ]
    loaded = [LOCAL_PROMETHEUS if part == PROMETHEUS else part for part in used]
    if loaded != given:
        changes[name] = ",".join(loaded)


def _correct_detectors(changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
    known = {entry.name for entry in entry_points(group="opentelemetry_resource_detector")}
    given = [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]
    valid = [part for part in given if part in {*known, "*"}]
    if valid != given:
        used = ",".join(valid) or DEFAULTS[name]
        changes[name] = used
        allowed = f"one or more of {', '.join(sorted(known))}, or *"
        errors += [SettingError(name, part, allowed, used) for part in given if part not in valid]


def _correct_batch(processor: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    """Limit the batch to the queue: the SDK stops on a larger one, also when only the queue is set."""
    queue_name, batch_name = f"{processor}_MAX_QUEUE_SIZE", f"{processor}_MAX_EXPORT_BATCH_SIZE"
    given = {name: os.environ.get(name, "").strip() for name in (queue_name, batch_name)}
    valid = {name: text for name, text in given.items() if text and name not in changes}
    queue, batch = int(valid.get(queue_name, QUEUE)), int(valid.get(batch_name, BATCH))
    if batch <= queue:
        return
    changes[batch_name] = str(queue)
    if batch_name in valid:
        allowed = f"at most {queue_name}, {queue}"
        errors.append(SettingError(batch_name, valid[batch_name], allowed, str(queue)))


def _correct_compression(changes: dict[str, str | None], errors: list[SettingError]) -> None:
    """Unset what the gRPC exporters do not understand: they know gzip only, and no word for none."""
    for signal in ("", *SIGNALS):
        name = otlp_variable("COMPRESSION", signal)
        text = os.environ.get(name, "").strip()
        grpc = any(
            changes.get(otlp_variable("PROTOCOL", one), protocol(one)) == GRPC
            for one in ([signal] if signal else SIGNALS)
        )
        if grpc and name not in changes and text and text.lower() != "gzip":
            changes[name] = None
            if text.lower() != "none":
                errors.append(SettingError(name, text, "none or gzip over gRPC", "none"))


def _correct_protocol(signal: str, changes: dict[str, str | None], errors: list[SettingError]) -> None:
    name, endpoint = otlp_variable("PROTOCOL", signal), otlp_variable("ENDPOINT", signal)
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
