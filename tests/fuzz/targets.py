"""What is fuzzed: one function for each parser. It raises only if the parser breaks a promise.

A parser's own error is its answer to wrong input. Any other exception is a finding, and so is a broken
property, such as a forged proof that verifies.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.audit.canonical import canonical_form
from assay.audit.errors import RecordError
from assay.endpoints import (
    EndpointError,
    check_confidential,
    check_http_url,
    check_no_credentials,
    check_token,
    parse_address,
    printable,
    printable_json,
    retry_after,
    without_credentials,
)
from assay.exporters.audit import AuditLogError, VerifierKey, open_checkpoint, verify_proof
from assay.exporters.cdevents._template import ABSENT, fill
from assay.exporters.cdevents.cloudevents import decode, from_request
from assay.exporters.cdevents.documents import validate
from assay.exporters.cdevents.errors import InvalidEvent
from assay.host import otlp_json
from assay.semconv.registry import RegistryError, load
from assay.telemetry import redaction
from assay.telemetry.correlation import extract, is_correlation_id

REQUESTS = (ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest)
KEY = VerifierKey(
    "fuzz.test/log", Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().public_bytes_raw()
)
DEPTH = 32
PASSES = 10


def otlp_protobuf(data: bytes) -> None:
    """Parse protobuf, write it as JSON and read it back; the canonical form of each record."""
    for kind in REQUESTS:
        request = kind()
        with contextlib.suppress(DecodeError):
            request.ParseFromString(data)
        with contextlib.suppress(otlp_json.TooDeepError):
            otlp_json.decode(otlp_json.encode(request), kind, 100)
        if isinstance(request, ExportLogsServiceRequest):
            for resource in request.resource_logs:
                for scope in resource.scope_logs:
                    for record in scope.log_records:
                        with contextlib.suppress(RecordError):
                            canonical_form(record)


def otlp_json_(data: bytes) -> None:
    """Read OTLP JSON."""
    for kind in REQUESTS:
        with contextlib.suppress(otlp_json.MalformedError, orjson.JSONDecodeError):
            request = otlp_json.decode(data, kind, DEPTH)
            again = otlp_json.decode(otlp_json.encode(request), kind, DEPTH)
            assert again.SerializeToString(deterministic=True) == request.SerializeToString(
                deterministic=True
            )


def note(data: bytes) -> None:
    """Parse a signed checkpoint and a verifier key."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(AuditLogError):
        open_checkpoint(text, KEY)
    with contextlib.suppress(AuditLogError):
        assert VerifierKey.parse(text).name


def proof(data: bytes) -> None:
    """Verify a proof; nothing that was not signed verifies."""
    try:
        verify_proof(data, KEY)
    except AuditLogError as error:
        message = str(error)
    else:
        raise AssertionError("a proof that nobody signed verifies")
    assert message.isprintable()


def template(data: bytes) -> None:
    """Fill a template with attributes."""
    head, _, tail = data.decode("utf-8", "replace").partition("\0")
    attributes = {"a": tail, "b.c": 1, "d": True, "e": None}
    for name in ("uri", "content"):
        filled = fill({"x": head, "list": [head], name: head}, attributes)
        assert filled is ABSENT or isinstance(filled, dict)


def registry(data: bytes) -> None:
    """Load a registry file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzz.yaml")
        path.write_bytes(data)
        with contextlib.suppress(RegistryError):
            load(path)


def headers(data: bytes) -> None:
    """Parse what stands in headers and settings."""
    text = data.decode("utf-8", "surrogateescape")
    seconds = retry_after(text)
    assert seconds is None or seconds >= 0
    for check in (check_http_url, check_confidential, check_no_credentials, check_token, parse_address):
        with contextlib.suppress(EndpointError):
            check(text)
    without_credentials(text)
    assert printable(text).isprintable()
    printable_json(text)
    found = extract({"traceparent": text, "x-snakepit-correlation-id": text, "baggage": text})
    assert found is None or is_correlation_id(found)


def redact(data: bytes) -> None:
    """Redact a text again and again: it comes to rest."""
    text = data.decode("utf-8", "replace")
    passes = [text]
    while len(passes) < PASSES and (clean := redaction.redact_text(passes[-1])) != passes[-1]:
        passes.append(clean)
    assert len(passes) < PASSES
    redaction.redact({text: [data, (text,)]})


def cloudevent(data: bytes) -> None:
    """Parse and validate a CloudEvent, structured, binary and in a file."""
    for parse in (decode, lambda body: from_request({"content-type": "application/cloudevents+json"}, body)):
        with contextlib.suppress(InvalidEvent):
            parse(data)
    with contextlib.suppress(InvalidEvent):
        from_request({"ce-id": "1", "ce-source": "/x", "ce-type": data[:80].decode("latin-1")}, data)
    list(validate(data.decode("utf-8", "surrogateescape")))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "otlp_protobuf": otlp_protobuf,
    "otlp_json": otlp_json_,
    "note": note,
    "proof": proof,
    "template": template,
    "registry": registry,
    "headers": headers,
    "redact": redact,
    "cloudevent": cloudevent,
}
