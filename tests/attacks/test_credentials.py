"""Credentials that were good for more than one thing, and text that a log took over."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
import requests
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs, ScopeLogs
from pydantic import ValidationError

from assay.audit.record import AuditRecord, to_log_record
from assay.cli._collector.binary import CollectorBinary
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from assay.host import HostConfig

pytestmark = [pytest.mark.attack, pytest.mark.slow]

PROTOBUF = {"content-type": "application/x-protobuf"}
EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TOKENS = {"bearer": {"app": {"token": "traces-only", "signals": ["traces"]}, "auditor": "audits"}}
HOSTILE = "id\n2026-01-01 INFO assay.host all is well\x1b[2J\u202e"


def test_a_token_for_traces_reads_no_audit_receipts(serve):
    host = serve({"name": "http", "protocol": "http", "auth": TOKENS})
    url = host.url("http", "/v1/audit/receipts/unknown")
    assert requests.get(url, headers={"authorization": "Bearer traces-only"}, timeout=30).status_code == 403
    assert requests.get(url, headers={"authorization": "Bearer audits"}, timeout=30).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "receipts", 400), ("GET", "log/checkpoint", 200)]
)
def test_a_token_for_traces_reads_nothing_else_of_the_audit_log(serve, method, path, status):
    host = serve({"name": "http", "protocol": "http", "auth": TOKENS})
    for token, expected in (("traces-only", 403), ("unknown", 401), ("audits", status)):
        headers = {"authorization": f"Bearer {token}"}
        answer = requests.request(method, host.url("http", f"/v1/audit/{path}"), headers=headers, timeout=30)
        assert answer.status_code == expected, answer.text


def test_a_grpc_call_of_several_messages_is_refused_as_a_whole(serve):
    host = serve({"name": "grpc", "protocol": "grpc"})
    body = ExportLogsServiceRequest(resource_logs=[ResourceLogs()]).SerializeToString()
    with grpc.insecure_channel(host.addresses["grpc"]) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.stream_unary(EXPORT)(iter([body] * 3), timeout=30)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert channel.unary_unary(EXPORT)(body, timeout=30) == b""


@pytest.mark.parametrize("address", ["0.0.0.0:13134", "[::]:13134", "192.0.2.1:13134"])
def test_health_is_not_reachable_by_other_machines_unless_it_is_said(address):
    document = {
        "listeners": [{"name": "http", "protocol": "http", "address": "127.0.0.1:0"}],
        "exporters": {"lines": {"type": "otlp-lines"}},
    }
    with pytest.raises(ValidationError, match="reachable_without_authentication"):
        HostConfig.model_validate({**document, "health": {"address": address}})
    health = {"address": address, "reachable_without_authentication": True}
    assert HostConfig.model_validate({**document, "health": health}).health.address == address


def hostile_records():
    yield {"record_id": HOSTILE, "actor_type": "robot"}
    yield {"record_id": "x" * 2_000_000, "actor_type": "robot"}
    yield {"actor_type": HOSTILE}
    yield {"record_id": HOSTILE}
    yield {"event_name": HOSTILE * 1000, "action": ""}


def test_text_from_outside_reaches_the_log_escaped_and_short(serve):
    host = serve(
        {"name": "collector", "protocol": "http", "peer": "collector"}, {"name": "direct", "protocol": "http"}
    )
    fields = {
        "event_name": "attack", "action": "APPROVE", "outcome": "success", "actor_id": "a",
        "actor_type": "user", "record_id": "a", "time_unix_nano": 1, "observed_time_unix_nano": 1,
    }  # fmt: skip
    for change in hostile_records():
        record = to_log_record(AuditRecord(**{**fields, **change}))
        part = ResourceLogs(scope_logs=[ScopeLogs(log_records=[record])])
        body = ExportLogsServiceRequest(resource_logs=[part]).SerializeToString()
        for listener in ("collector", "direct"):
            answer = requests.post(host.url(listener, "/v1/audit"), body, headers=PROTOBUF, timeout=30)
            assert len(answer.content) < 5000
    for path, headers in (("/\x1b" + "y" * 10_000, {}), ("/v1/logs", {"assay-exporter": "z" * 10_000})):
        answer = requests.post(host.url("direct", path), headers={**PROTOBUF, **headers}, timeout=30)
        assert answer.status_code == 404
        assert len(answer.content) < 1000
    lines = host.log.decode().splitlines()
    assert any(r"id\n2026-01-01 INFO assay.host all is well\x1b[2J\u202e" in line for line in lines)
    assert not any(line.startswith("2026-01-01 INFO") for line in lines)
    assert all(line.isprintable() and len(line) < 2000 for line in lines)


@pytest.mark.parametrize("binary", [None, CollectorBinary(Path("otelcol"), "0", "test")])
def test_each_listener_of_assay_up_has_its_own_tokens_for_its_own_signals(tmp_path, binary):
    stack = Stack(Folder(tmp_path), binary)
    listeners = {each["name"]: each for each in stack._host_config()["listeners"]}
    tokens = [each for listener in listeners.values() for each in listener["auth"]["bearer"].values()]
    assert len({each["token"] for each in tokens}) == len(tokens)
    assert all(each["signals"] == ["audit"] or "audit" not in each["signals"] for each in tokens)
    application = stack.application_environment()
    if binary is None:
        assert list(listeners) == ["direct"]  # nobody can claim to be a Collector
        assert application["ASSAY_AUDIT_TOKEN"] not in application["OTEL_EXPORTER_OTLP_HEADERS"]
    else:
        collectors = stack.collector_environment()
        assert collectors["ASSAY_HOST_TOKEN"] != collectors["ASSAY_HOST_AUDIT_TOKEN"]
        assert not {stack.tokens.host, stack.tokens.host_audit} & set(application.values())
