"""The findings of `assay doctor`: settings, instrumentations and endpoints."""

from __future__ import annotations

import difflib
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import requests
from opentelemetry.instrumentation.dependencies import (
    DependencyConflict,
    get_dependency_conflicts,
    get_dist_dependency_conflicts,
)
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from opentelemetry.util._importlib_metadata import (
    EntryPoint,
    entry_points,  # pyright: ignore[reportUnknownVariableType]
)

from assay.audit.errors import AuditError
from assay.distro import _otel_variables
from assay.distro._audit_queue import audit_exporter, audit_queue
from assay.distro._audit_remedies import UNAUTHORIZED
from assay.distro._otel_variables import otlp_variable
from assay.distro._settings import TABLE, Settings, read
from assay.endpoints import printable, without_credentials
from assay.telemetry.environment_secrets import without_secrets

Status = Literal["ok", "skipped", "warning", "error"]

TIMEOUT = 3.0
"""Seconds that an endpoint has to answer."""
NOT_FOUND = 404
SERVER_ERROR = 500
_REASONS = ("Connection refused", "timed out", "Name or service not known", "certificate verify failed")
HOST_HEALTH = "http://127.0.0.1:13134/health/ready"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check.

    Args:
        area: `setting`, `distro`, `instrumentation` or `endpoint`.
        name: The name of what was checked.
        status: `error` if telemetry or audit records will be missing.
        detail: What was found.
        remedy: What to do about it.
    """

    area: str
    name: str
    status: Status
    detail: str
    remedy: str = ""

    def __post_init__(self) -> None:
        for name in ("name", "detail", "remedy"):
            # Terminals and tickets show findings, and a value may come from any variable.
            text = printable(without_secrets(getattr(self, name), os.environ))
            object.__setattr__(self, name, text)

    def as_dict(self) -> dict[str, str]:
        """Return the finding as a JSON object."""
        return asdict(self)


def diagnose() -> Iterator[Finding]:
    """Yield all findings: of this environment, and of the endpoints that its variables name."""
    _otel_variables.set_defaults()
    settings, _ = read()
    yield from settings_findings()
    yield from distros()
    yield from instrumentations()
    changes, _ = _otel_variables.corrections()
    with _otel_variables.environment(changes):
        yield from endpoints(settings)


def settings_findings() -> Iterator[Finding]:
    """Yield each variable whose value is wrong, or whose name resembles a setting's."""
    _, wrong = read()
    _, wrong_variables = _otel_variables.corrections()
    for error in (*wrong, *wrong_variables):
        yield Finding("setting", error.name, "error", f"is {error.value!r}", f"set it to {error.allowed}")
    for name in sorted(os.environ):
        near = difflib.get_close_matches(name, TABLE, 1, 0.85)
        if name.startswith("ASSAY_") and name not in TABLE and near:
            yield Finding("setting", name, "warning", "is not a setting", f"did you mean {near[0]}?")
    if _otel_variables.is_disabled():
        remedy = "unset it"
        yield Finding(
            "setting", "OTEL_SDK_DISABLED", "error", "nothing is sent, audit records included", remedy
        )


def distros() -> Iterator[Finding]:
    """Yield whether `opentelemetry-instrument` uses this distro and its configurator."""
    for group, variable in (
        ("opentelemetry_distro", "OTEL_PYTHON_DISTRO"),
        ("opentelemetry_configurator", "OTEL_PYTHON_CONFIGURATOR"),
    ):
        names = [entry.name for entry in entry_points(group=group)]
        chosen = os.environ.get(variable) or (names[0] if names else "")
        if chosen == "assay" and "assay" in names:
            yield Finding("distro", group, "ok", "assay")
        else:
            detail = f"{chosen or 'none'} is used, of {', '.join(names) or 'none'}"
            yield Finding("distro", group, "error", detail, f"set {variable}=assay")


def instrumentations() -> Iterator[Finding]:
    """Yield each installed instrumentation, and the reason if it would be skipped."""
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    disabled = {name.strip() for name in names}
    for entry in sorted(entry_points(group="opentelemetry_instrumentor"), key=lambda one: one.name):
        if entry.name in disabled or "*" in disabled:
            detail = "turned off by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"
            yield Finding("instrumentation", entry.name, "skipped", detail)
            continue
        conflict = _conflict(entry)
        if conflict is None:
            yield Finding("instrumentation", entry.name, "ok", f"{entry.dist.version if entry.dist else ''}")
        elif conflict.found or conflict.found_any:
            needed = conflict.required or ", ".join(str(one) for one in conflict.required_any or ())
            yield Finding("instrumentation", entry.name, "error", str(conflict), f"pip install '{needed}'")
        else:
            yield Finding("instrumentation", entry.name, "skipped", str(conflict))


def _conflict(entry: EntryPoint) -> DependencyConflict | None:
    """Return the conflict for which an instrumentation would be skipped, of its distribution or its own."""
    conflict = get_dist_dependency_conflicts(entry.dist) if entry.dist else None
    if conflict is not None:
        return conflict
    try:
        instrumentor: BaseInstrumentor = entry.load()()
    except ImportError:
        return None  # reported when the instrumentation is loaded
    return get_dependency_conflicts(instrumentor.instrumentation_dependencies())


def endpoints(settings: Settings) -> Iterator[Finding]:
    """Yield whether the Collector, the audit endpoint and the exporter host answer."""
    start = "start the Collector: assay collector run all-in-one (or everything: assay up)"
    for signal in _otel_variables.SIGNALS:
        if "otlp" in os.environ.get(f"OTEL_{signal}_EXPORTER", ""):
            yield _otlp(signal, start)
    yield _audit(settings, start)
    yield _audit_queue(settings)
    yield _health()


def _audit(settings: Settings, start: str) -> Finding:
    try:
        audit_exporter(settings)
    except AuditError as error:
        # The application sends nothing with these settings, so do not send its token either.
        return Finding("endpoint", "audit", "error", str(error))
    headers = {"Authorization": f"Bearer {settings.audit_token}"} if settings.audit_token else {}
    certificates = (settings.audit_client_certificate, settings.audit_client_key)
    return _probe(
        "audit",
        settings.audit_endpoint,
        f"{start}; or set ASSAY_AUDIT_ENDPOINT",
        "set ASSAY_AUDIT_TOKEN",
        headers=headers,
        tls={
            "verify": settings.audit_certificate or True,
            "cert": certificates if all(certificates) else settings.audit_client_certificate or None,
        },
    )


def _audit_queue(settings: Settings) -> Finding:
    if settings.audit_queue == "memory":
        return Finding("endpoint", "audit queue", "ok", "in memory: a killed process loses records that wait")
    try:
        queue = audit_queue(settings)
        waiting = sum(len(store) for store in queue.abandoned())
    except AuditError as error:
        remedy = "set ASSAY_AUDIT_QUEUE_DIRECTORY to a folder that this user can write"
        return Finding("endpoint", "audit queue", "warning", str(error), remedy)
    if waiting:
        detail = f"{waiting} records of ended processes wait in {queue.folder}"
        return Finding("endpoint", "audit queue", "warning", detail, "assay audit flush")
    return Finding("endpoint", "audit queue", "ok", str(queue.folder))


def _otlp(signal: str, start: str) -> Finding:
    base = os.environ.get(otlp_variable("ENDPOINT"), "").rstrip("/")
    own = os.environ.get(otlp_variable("ENDPOINT", signal), "")
    if _otel_variables.protocol(signal) == _otel_variables.GRPC:
        return _connect(signal.lower(), own or base, start)
    headers = os.environ.get(otlp_variable("HEADERS", signal)) or os.environ.get(otlp_variable("HEADERS"), "")
    pairs = (pair.partition("=") for pair in headers.split(",") if "=" in pair)
    return _probe(
        signal.lower(),
        own or f"{base}/v1/{signal.lower()}",
        f"{start}; or set OTEL_EXPORTER_OTLP_ENDPOINT",
        "set OTEL_EXPORTER_OTLP_HEADERS",
        headers={name.strip(): unquote(value.strip()) for name, _, value in pairs},
        tls={"verify": os.environ.get(otlp_variable("CERTIFICATE")) or True},
    )


def _probe(  # noqa: PLR0913 - one argument for each thing that may be wrong
    name: str, url: str, start: str, credentials: str, *, headers: Mapping[str, str], tls: Mapping[str, Any]
) -> Finding:
    """Post an empty request, which is valid OTLP and stores nothing."""
    shown = without_credentials(url)
    try:
        answer = requests.post(
            url,
            data=b"",
            headers={
                "Content-Type": "application/x-protobuf",
                **{header: value.encode() for header, value in headers.items()},
            },
            timeout=TIMEOUT,
            allow_redirects=False,
            **tls,
        )
    except (requests.RequestException, OSError, ValueError) as error:
        return Finding("endpoint", name, "error", f"{shown} cannot be reached ({_reason(error)})", start)
    status = f"{shown} answers {answer.status_code}"
    if answer.status_code in UNAUTHORIZED:
        return Finding("endpoint", name, "error", status, credentials)
    if answer.status_code == NOT_FOUND:
        return Finding(
            "endpoint", name, "error", status, "correct the URL's path: the receiver does not have it"
        )
    if answer.status_code >= SERVER_ERROR:
        return Finding("endpoint", name, "error", status, "see the Collector's log")
    if not answer.ok or answer.is_redirect:
        return Finding("endpoint", name, "error", status, "the server there does not accept OTLP over HTTP")
    return Finding("endpoint", name, "ok", status)


def _connect(name: str, url: str, start: str) -> Finding:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    try:
        socket.create_connection((parts.hostname or "", parts.port or 4317), TIMEOUT).close()
    except OSError as error:
        shown = without_credentials(url)
        return Finding("endpoint", name, "error", f"{shown} cannot be reached ({_reason(error)})", start)
    return Finding("endpoint", name, "ok", f"{without_credentials(url)} accepts connections (gRPC)")


def _health() -> Finding:
    try:
        answer = requests.get(HOST_HEALTH, timeout=TIMEOUT)
    except requests.RequestException as error:
        remedy = "start it: assay serve (or everything: assay up); the Collector queues its data until then"
        return Finding("endpoint", "exporter host", "warning", f"{HOST_HEALTH}: {_reason(error)}", remedy)
    if answer.ok:
        return Finding("endpoint", "exporter host", "ok", f"{HOST_HEALTH} answers {answer.status_code}")
    detail = f"{HOST_HEALTH} answers {answer.status_code}"
    return Finding("endpoint", "exporter host", "error", detail, "see its log")


def _reason(error: Exception) -> str:
    text = str(error)
    return next((known for known in _REASONS if known in text), type(error).__name__)
