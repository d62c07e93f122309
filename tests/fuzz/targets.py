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
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr, ValidationError

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
from assay.exporters.audit._batch import SINGLE_BYTES, Rules, read_batch
from assay.exporters.audit._trust import TrustStore
from assay.exporters.cdevents import parse as parse_event
from assay.exporters.cdevents._exporter import Settings as CDEventsSettings
from assay.exporters.cdevents._mapping import Mapper, check_source
from assay.exporters.cdevents._records import SourceRecord, ended_spans, log_events
from assay.exporters.cdevents._template import ABSENT, fill
from assay.exporters.cdevents.cloudevents import decode, from_request
from assay.exporters.cdevents.documents import validate
from assay.exporters.cdevents.errors import CDEventsError, InvalidEvent
from assay.exporters.metrics._points import read_points
from assay.host import Batch, ConfigError, LimitSettings, load_config, otlp_json
from assay.host._authentication import Authentication
from assay.host._decoding import REQUEST_TYPES, RequestBody
from assay.host._decoding import decode as decode_request
from assay.host._grpc_connections import parse_peer
from assay.host._refusal import Refusal, Undecodable
from assay.host._settings import AuthSettings
from assay.proof import Policy, WitnessKey, verify_export
from assay.proof.cosignature import cosignatures
from assay.semconv import CATALOGUE
from assay.semconv.registry import RegistryError, load
from assay.telemetry import redaction
from assay.telemetry.correlation import extract, is_correlation_id

REQUESTS = (ExportTraceServiceRequest, ExportMetricsServiceRequest, ExportLogsServiceRequest)
KEY = VerifierKey(
    "fuzz.test/log", Ed25519PrivateKey.from_private_bytes(b"\1" * 32).public_key().public_bytes_raw()
)
WITNESS = WitnessKey("fuzz.test/witness", KEY.public)
DEPTH = 32
LIMITS = LimitSettings(body_bytes=1 << 20, buffered_bytes=1 << 21, messages=1000, depth=DEPTH)
RULES = Rules(TrustStore(None), record_bytes=1 << 16, batch_bytes=1 << 18, ahead_seconds=5)
TOKEN = "the-only-token"
AUTHENTICATION = Authentication(AuthSettings(bearer=SecretStr(TOKEN)))
PASSES = 10


def otlp_protobuf(data: bytes) -> None:
    """Parse protobuf, write it as JSON and read it back; the canonical form of each record."""
    for kind in REQUESTS:
        try:
            request = kind.FromString(data)
        except DecodeError:
            continue
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


def host_request(data: bytes) -> None:
    """Decode a request's body as the host does; the first byte selects its signal and its form."""
    selector, body = (data[0] if data else 0), data[1:]
    signal = tuple(REQUEST_TYPES)[selector & 3]
    received = RequestBody(signal, body, "json" if selector & 4 else "protobuf", gzip=bool(selector & 8))
    try:
        request, payload = decode_request(received, LIMITS)
    except Undecodable as error:
        refusal = error
    else:
        refusal = None
    if refusal is not None:
        assert refusal.status in {400, 413}
        assert refusal.payload == body
        assert len(refusal.reason) < 1000
        return
    assert len(payload) <= LIMITS.body_bytes
    if isinstance(request, ExportMetricsServiceRequest):
        list(read_points(request))
    elif isinstance(request, ExportLogsServiceRequest):
        list(log_events(request, 1))
    else:
        list(ended_spans(request))


def audit_batch(data: bytes) -> None:
    """Read a batch as the audit sink does: each record is stored or named, and quarantine stays bounded."""
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(data)
    except DecodeError as error:
        batch = Batch("audit", None, data, "protobuf", "collector", 1, str(error))
    else:
        batch = Batch("audit", request, data, "protobuf", "collector", 1)
    entries = read_batch(batch, RULES)
    quarantined = entries.quarantine()
    if entries.unreadable:
        assert [entry.payload for entry in quarantined] == [data]
    else:
        records = sum(len(scope.log_records) for part in request.resource_logs for scope in part.scope_logs)
        assert len(entries.rows) + entries.invalid_count == records
    assert sum(len(entry.payload) for entry in quarantined) <= len(data) + SINGLE_BYTES


def note(data: bytes) -> None:
    """Parse a signed checkpoint, its cosignatures, verifier keys, and a policy of witnesses."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(AuditLogError):
        open_checkpoint(text, KEY)
    with contextlib.suppress(AuditLogError):
        assert not cosignatures(text, [WITNESS])
    for parse in (VerifierKey.parse, WitnessKey.parse):
        with contextlib.suppress(AuditLogError):
            assert parse(text).name
    with contextlib.suppress(AuditLogError):
        policy = Policy.parse(text)
        assert policy.quorum is None or not policy.is_met([])


def proof(data: bytes) -> None:
    """Verify a proof and an export; nothing that was not signed verifies."""
    for verify in (verify_proof, lambda content, key: verify_export(content.splitlines(), key)):
        try:
            verify(data, KEY)
        except AuditLogError as error:
            message = str(error)
        else:
            raise AssertionError("a proof that nobody signed verifies")
        assert message.isprintable()


def trust_store(data: bytes) -> None:
    """Load a trust store whose keys are files of its folder; the file is the key too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trust")
        path.write_bytes(data)
        with contextlib.suppress(AuditLogError):
            TrustStore(path)


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


def cdevents_settings(data: bytes) -> None:
    """Validate the settings of the CDEvents exporter, and map a record with its source."""
    try:
        document = yaml.safe_load(data)
    except (yaml.YAMLError, ValueError, RecursionError):
        return
    with contextlib.suppress(ValidationError, CDEventsError):
        settings = CDEventsSettings.model_validate(document)
        _map(Mapper(CATALOGUE, source=check_source(settings.source), draft_types=settings.draft_types))


def cdevents_rules(data: bytes) -> None:
    """Load a registry file with rules, and map its events."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzz.yaml")
        path.write_bytes(data)
        with contextlib.suppress(RegistryError, CDEventsError):
            _map(Mapper(load(path), source="/x", draft_types=True, legacy_types=True))


def _map(mapper: Mapper) -> None:
    attributes = {"a": "x", "b.c": 1, "service.name": "s"}
    for name in {*mapper._events, *mapper._spans}:
        for span in (False, True):
            for event in mapper.events(SourceRecord(name, attributes, attributes, 1, 2, span=span)):
                with contextlib.suppress(InvalidEvent):
                    parse_event(event.document)


def host_config(data: bytes) -> None:
    """Load the host's configuration file, without references to files."""
    if b"file:" in data:
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "fuzz.yaml")
        path.write_bytes(data)
        with contextlib.suppress(ConfigError):
            load_config(path)


def headers(data: bytes) -> None:
    """Parse the texts of headers and settings."""
    text = data.decode("utf-8", "surrogateescape")
    with contextlib.suppress(Refusal):
        AUTHENTICATION.authenticate(text)
        assert text.partition(" ")[2].strip() == TOKEN
    assert parse_peer(text).machine is not None
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
    "host_request": host_request,
    "host_config": host_config,
    "audit_batch": audit_batch,
    "note": note,
    "proof": proof,
    "trust_store": trust_store,
    "template": template,
    "registry": registry,
    "headers": headers,
    "redact": redact,
    "cloudevent": cloudevent,
    "cdevents_settings": cdevents_settings,
    "cdevents_rules": cdevents_rules,
}
