from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from assay.audit import ConfigurationError, ConflictError, ExportError, OTLPAuditExporter, RejectedError

PROTOBUF = {"Content-Type": "application/x-protobuf"}
REQUEST = ExportLogsServiceRequest(
    resource_logs=[ResourceLogs(scope_logs=[ScopeLogs(log_records=[LogRecord(event_name="e")])])]
)


def test_export_posts_protobuf_with_the_token(server):
    answers = server((200, PROTOBUF, b""))
    assert OTLPAuditExporter(answers.url, token="s3cret").export(REQUEST) == []
    headers, body = answers.got[0]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Type"] == "application/x-protobuf"
    assert ExportLogsServiceRequest.FromString(body) == REQUEST


def test_a_partial_success_fails_the_whole_batch(server):
    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = 1
    for headers, body in [
        (PROTOBUF, answer.SerializeToString()),
        ({"Content-Type": "application/json"}, b'{"partialSuccess": {"rejectedLogRecords": "1"}}'),
    ]:
        with pytest.raises(ExportError, match="rejected 1"):
            OTLPAuditExporter(server((200, headers, body)).url).export(REQUEST)


@pytest.mark.parametrize(
    ("status", "kind"), [(409, ConflictError), (400, RejectedError), (413, RejectedError), (401, ExportError)]
)
def test_final_rejections_are_not_retried(server, status, kind):
    answers = server((status, {}, b"because"))
    with pytest.raises(kind, match=f"{status}.*because") as caught:
        OTLPAuditExporter(answers.url).export(REQUEST)
    assert caught.value.status == status
    assert caught.value.is_final
    assert len(answers.got) == 1


@pytest.mark.parametrize("status", [201, 202, 204, 206, 299])
def test_no_other_2xx_is_acceptance(server, status):
    answers = server((status, PROTOBUF, b""))
    with pytest.raises(ExportError, match=str(status)) as caught:
        OTLPAuditExporter(answers.url, retries=0).export(REQUEST)
    assert caught.value.is_final == (status != 202)


def test_a_202_is_tried_again(server):
    answers = server((202, {**PROTOBUF, "Retry-After": "0"}, b""), (200, PROTOBUF, b""))
    OTLPAuditExporter(answers.url).export(REQUEST)
    assert len(answers.got) == 2


STATUS = Status(code=16, message="the bearer token is not one of this listener's")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/x-protobuf", STATUS.SerializeToString()),
        ("application/json", b'{"code": 16, "message": "the bearer token is not one of this listener\'s"}'),
        ("application/json; charset=utf-8", b'{"error": "the bearer token is not one of this listener\'s"}'),
        ("text/plain", b"the bearer token is not one\nof this listener's\n"),
    ],
)
def test_the_body_of_a_401_is_decoded_and_the_remedy_is_the_token(server, kind, body):
    answers = server((401, {"Content-Type": kind}, body))
    with pytest.raises(ExportError) as caught:
        OTLPAuditExporter(answers.url).export(REQUEST)
    said = "401 Unauthorized: the bearer token is not one of this listener's. To fix it, set token"
    assert said in str(caught.value)
    assert "Collector" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("application/x-protobuf", b"\xff\xff"), ("application/json", b"{"), ("image/png", b"\x89P")],
)
def test_a_body_that_cannot_be_decoded_is_counted_in_bytes(server, kind, body):
    answers = server((400, {"Content-Type": kind}, body))
    with pytest.raises(ExportError, match=f"{len(body)} bytes of {kind}"):
        OTLPAuditExporter(answers.url).export(REQUEST)


@pytest.mark.parametrize("status", [429, 503])
def test_retryable_rejections_are_retried_after_retry_after(server, status):
    answers = server((status, {"Retry-After": "0"}, b""), (200, PROTOBUF, b""))
    OTLPAuditExporter(answers.url).export(REQUEST)
    assert len(answers.got) == 2


def test_no_retry_waits_beyond_the_timeout(server):
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


def test_an_endpoint_that_does_not_respond_is_an_error():
    with pytest.raises(ExportError, match="did not respond") as caught:
        OTLPAuditExporter("http://127.0.0.1:1/v1/audit?token=s3cret", retries=0).export(REQUEST)
    assert not caught.value.is_final
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("x-protobuf", b"\xff\xff"), ("json", b"[]"), ("json", b'{"receipts": [1]}'), ("json", b"{")],
)
def test_a_response_that_is_not_otlp_is_an_error(server, kind, body):
    answers = server((200, {"Content-Type": f"application/{kind}"}, body))
    with pytest.raises(ExportError, match="not in OTLP"):
        OTLPAuditExporter(answers.url).export(REQUEST)


def test_an_invalid_retry_after_is_ignored(server):
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
def test_the_error_about_an_invalid_setting_names_it(settings):
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
def test_loopback_and_https_are_accepted(endpoint):
    assert OTLPAuditExporter(endpoint).endpoint == endpoint


def test_plain_http_can_be_allowed_but_not_with_a_token():
    OTLPAuditExporter("http://audit.example.com/v1/audit", allow_plain_http=True)
    with pytest.raises(ConfigurationError, match="https"):
        OTLPAuditExporter("http://audit.example.com/v1/audit", token="s3cret", allow_plain_http=True)


@pytest.mark.parametrize(("seconds", "warned"), [(-3600, True), (3600, True), (0, False)])
def test_a_clock_that_differs_from_the_endpoints_is_warned_about(
    server, caplog, monkeypatch, seconds, warned
):
    monkeypatch.setattr("assay.audit._clock._silent_until", {"difference": 0.0, "offset": 0.0})
    date = formatdate(time.time() + seconds, usegmt=True)
    OTLPAuditExporter(server((200, {**PROTOBUF, "Date": date}, b"")).url).export(REQUEST)
    assert ("differs from the audit endpoint's" in caplog.text) == warned
