from __future__ import annotations

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit import ConfigurationError, ConflictError, ExportError, OTLPAuditExporter

PROTOBUF = {"Content-Type": "application/x-protobuf"}
REQUEST = ExportLogsServiceRequest(
    resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(event_name="e")])])]
)


def test_it_posts_protobuf_with_the_token(server):
    answers = server((200, PROTOBUF, b""))
    assert OTLPAuditExporter(answers.url, token="s3cret").export(REQUEST) == []
    headers, body = answers.got[0]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert ExportLogsServiceRequest.FromString(body) == REQUEST


def test_partial_success_is_a_failure_of_the_whole(server):
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 1
    for headers, body in [
        (PROTOBUF, answer.SerializeToString()),
        ({"Content-Type": "application/json"}, b'{"partialSuccess": {"rejectedLogRecords": "1"}}'),
    ]:
        with pytest.raises(ExportError, match="refused 1"):
            OTLPAuditExporter(server((200, headers, body)).url).export(REQUEST)


@pytest.mark.parametrize(("status", "kind"), [(409, ConflictError), (400, ExportError), (401, ExportError)])
def test_what_is_final_is_not_tried_again(server, status, kind):
    answers = server((status, {}, b"because"))
    with pytest.raises(kind, match=f"{status}.*because") as caught:
        OTLPAuditExporter(answers.url).export(REQUEST)
    assert caught.value.status == status
    assert len(answers.got) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_later_is_tried_again_after_what_retry_after_says(server, status):
    answers = server((status, {"Retry-After": "0"}, b""), (200, PROTOBUF, b""))
    OTLPAuditExporter(answers.url).export(REQUEST)
    assert len(answers.got) == 2


def test_it_does_not_wait_beyond_its_timeout(server):
    answers = server((503, {"Retry-After": "3600"}, b"full"))
    with pytest.raises(ExportError, match="full"):
        OTLPAuditExporter(answers.url, timeout=1).export(REQUEST)
    assert len(answers.got) == 1


def test_retries_are_bounded(server):
    answers = server((503, {"Retry-After": "0"}, b""))
    with pytest.raises(ExportError):
        OTLPAuditExporter(answers.url, retries=2).export(REQUEST)
    assert len(answers.got) == 3


def test_redirects_are_not_followed(server):
    answers = server((307, {"Location": "http://127.0.0.1:1/"}, b""))
    with pytest.raises(ExportError):
        OTLPAuditExporter(answers.url).export(REQUEST)


def test_nobody_there_is_an_error():
    with pytest.raises(ExportError, match="did not answer"):
        OTLPAuditExporter("http://127.0.0.1:1/v1/audit", retries=0).export(REQUEST)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("x-protobuf", b"\xff\xff"), ("json", b"[]"), ("json", b'{"receipts": [1]}'), ("json", b"{")],
)
def test_an_answer_that_is_no_otlp_is_an_error(server, kind, body):
    answers = server((200, {"Content-Type": f"application/{kind}"}, body))
    with pytest.raises(ExportError, match="no OTLP answer"):
        OTLPAuditExporter(answers.url).export(REQUEST)


def test_a_retry_after_that_is_no_time_is_ignored(server):
    answers = server((503, {"Retry-After": "nan"}, b""), (200, PROTOBUF, b""))
    OTLPAuditExporter(answers.url).export(REQUEST)
    assert len(answers.got) == 2


@pytest.mark.parametrize(
    "settings",
    [
        {"endpoint": "http://audit.example.com/v1/audit"},
        {"endpoint": "ftp://127.0.0.1/"},
        {"endpoint": "127.0.0.1:4319"},
        {"certificate": "/does/not/exist.pem"},
        {"certificate": __file__},
        {"client_key": "/etc/passwd"},
        {"client_certificate": __file__},
        {"timeout": 0},
        {"retries": -1},
        {"token": "s3cret\n"},
        {"token": "s3cret\u20ac"},
    ],
)
def test_a_setting_that_does_not_hold_is_an_error_that_names_it(settings):
    with pytest.raises(ConfigurationError, match=next(iter(settings))) as caught:
        OTLPAuditExporter(**settings)
    assert "s3cret" not in str(caught.value)


def test_credentials_in_the_endpoint_are_not_shown(server):
    for url in ("http://ann:s3cret@audit.example.com/", "ftp://ann:s3cret@127.0.0.1/"):
        with pytest.raises(ConfigurationError) as caught:
            OTLPAuditExporter(url)
        assert "s3cret" not in str(caught.value)
    url = server((400, {}, b"no")).url.replace("://", "://ann:s3cret@")
    with pytest.raises(ExportError, match="no") as refused:
        OTLPAuditExporter(url).export(REQUEST)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint", ["http://localhost:1/", "http://[::1]:1/", "https://audit.example.com/v1/audit"]
)
def test_loopback_and_https_are_fine(endpoint):
    assert OTLPAuditExporter(endpoint).endpoint == endpoint


def test_plain_http_can_be_allowed():
    OTLPAuditExporter("http://audit.example.com/v1/audit", allow_plain_http=True)
