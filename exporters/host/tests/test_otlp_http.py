"""OTLP over HTTP on real sockets."""

import gzip
import socket
import zlib

import pytest
import requests
from google.rpc.status_pb2 import Status
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from assay.host import Rejected, Retry, otlp_json

from .conftest import TracesOnly, UndecodableExporter, deep, exporter, http, logs, traces

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
SMALL = {"body_bytes": 4096, "buffered_bytes": 16384}


def post(host, path="/v1/logs", data=b"", headers=PROTOBUF, listener="http"):
    return requests.post(host.url(path, listener), data=data, headers=headers, timeout=30)


def reason(response):
    if response.headers["content-type"] == "application/json":
        return response.json()["message"]
    return Status.FromString(response.content).message


@pytest.mark.parametrize(
    ("signal", "request_"), [("logs", logs(3)), ("traces", traces(2)), ("audit", logs())]
)
@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("json", [False, True])
def test_accepts_every_signal_in_every_encoding(serve, signal, request_, compress, json):
    host = serve()
    payload = otlp_json.encode(request_) if json else request_.SerializeToString()
    headers = {**(JSON if json else PROTOBUF), **({"content-encoding": "gzip"} if compress else {})}
    answer = post(host, f"/v1/{signal}", gzip.compress(payload) if compress else payload, headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == headers["content-type"]
    (batch,) = host.exporter().batches
    assert (batch.signal, batch.request, batch.payload) == (signal, request_, payload)
    assert (batch.encoding, batch.peer, batch.error) == ("json" if json else "protobuf", "direct", "")


def test_accepts_the_requests_of_the_sdk(serve):
    host = serve()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(host.url("/v1/traces"))))
    with provider.get_tracer("test").start_as_current_span("work") as span:
        pass
    provider.shutdown()
    (batch,) = host.exporter().batches
    sent = batch.request.resource_spans[0].scope_spans[0].spans[0]
    assert (sent.name, int.from_bytes(sent.trace_id, "big")) == ("work", span.get_span_context().trace_id)


def test_a_large_batch_arrives_whole(serve):
    host = serve()
    request = logs(5000)
    assert post(host, data=request.SerializeToString()).status_code == 200
    assert host.exporter().batches[0].request == request


def test_a_json_response_contains_the_receipts(serve):
    host = serve()
    body = logs().SerializeToString()
    asked = post(host, "/v1/audit", body, {**PROTOBUF, "accept": "application/json"})
    assert asked.json() == {"receipts": [{"record_id": "1"}]}
    assert post(host, "/v1/audit", body).content == b""


@pytest.mark.parametrize(("body", "headers"), [(b"", PROTOBUF), (b"{}", JSON)])
def test_an_empty_request_is_a_success_without_an_export(serve, body, headers):
    host = serve()
    assert post(host, data=body, headers=headers).status_code == 200
    assert host.exporter().batches == []


BAD_UTF8 = logs(name="ABCDE").SerializeToString().replace(b"ABCDE", b"AB\xff\xfeE")


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"\x0a\xff\xff", PROTOBUF, "not a protobuf ExportLogsServiceRequest"),
        (BAD_UTF8, PROTOBUF, "not a protobuf ExportLogsServiceRequest"),
        (deep(30).SerializeToString(), PROTOBUF, "nested deeper than 64"),
        (deep(60).SerializeToString(), PROTOBUF, "nested deeper than 101"),
        (otlp_json.encode(deep(30)), JSON, "nested deeper than 64"),
        (b'{"resourceLogs":' + b"[" * 100_000, JSON, "nested deeper than 64"),
        (b"", JSON, "not valid JSON"),
        (b"{", JSON, "not valid JSON"),
        (b'{"resourceLogs":"\xff"}', JSON, "not valid JSON"),
        (b"[]", JSON, "expected an object, got an array"),
        (
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}',
            JSON,
            "logRecords[0].traceId",
        ),
        (b"plain", {**PROTOBUF, "content-encoding": "gzip"}, "not valid gzip"),
        (
            gzip.compress(b"x" * 99, mtime=0)[:-9],
            {**PROTOBUF, "content-encoding": "gzip"},
            "the gzip body is incomplete",
        ),
        (
            gzip.compress(b"", mtime=0) + b"x",
            {**PROTOBUF, "content-encoding": "gzip"},
            "data follows the gzip body",
        ),
    ],
)
def test_malformed_content_is_400_with_the_reason(serve, body, headers, message):
    host = serve()
    answer = post(host, data=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == headers["content-type"]
    assert message in reason(answer)
    assert host.exporter().batches == []


def test_messages_nested_up_to_the_limit_are_accepted(serve):
    host = serve()
    at_the_limit = deep(29)
    assert post(host, data=at_the_limit.SerializeToString()).status_code == 200
    assert post(host, data=otlp_json.encode(at_the_limit), headers=JSON).status_code == 200
    assert [batch.request for batch in host.exporter().batches] == [at_the_limit, at_the_limit]


def test_a_body_that_is_too_long_is_413_with_or_without_content_length(serve):
    host = serve(limits=SMALL)
    body = b"x" * 1_000_000
    chunked = requests.post(host.url("/v1/logs"), data=iter([b"x" * 3000] * 2), headers=PROTOBUF, timeout=30)
    for answer in (post(host, data=body[:9000]), chunked):
        assert answer.status_code == 413
        assert "longer than 4096 bytes as sent" in reason(answer)


def test_a_gzip_bomb_is_413_before_it_is_decompressed(serve):
    host = serve(limits=SMALL)
    squeeze = zlib.compressobj(wbits=31)
    bomb = squeeze.compress(bytes(3_000_000)) + squeeze.flush()
    answer = post(host, data=bomb, headers={**PROTOBUF, "content-encoding": "gzip"})
    assert answer.status_code == 413
    assert "4096 bytes decompressed" in reason(answer)


@pytest.mark.parametrize(
    ("line", "headers", "status", "message"),
    [
        ("POST /v1/log", PROTOBUF, 404, "did you mean '/v1/logs'?"),
        ("POST /v1/logs/", PROTOBUF, 404, "did you mean '/v1/logs'?"),
        ("POST /", JSON, 404, "known here: /v1/audit"),
        ("GET /v1/logs", {}, 405, "use POST"),
        ("DELETE /v1/audit", {}, 405, "use POST"),
        ("POST /v1/logs", {}, 415, "send application/x-protobuf or application/json"),
        ("POST /v1/logs", {"content-type": "text/plain"}, 415, "'text/plain'"),
        ("POST /v1/logs", {**PROTOBUF, "content-encoding": "br"}, 415, "'br': send gzip or none"),
        ("POST /v1/logs", {**PROTOBUF, "assay-exporter": "none"}, 404, "named 'none'"),
    ],
)
def test_an_unknown_path_method_type_or_exporter_is_named(serve, line, headers, status, message):
    method, path = line.split()
    answer = requests.request(method, serve().url(path), headers=headers, timeout=30)
    assert answer.status_code == status
    assert message in reason(answer)
    if status == 405:
        assert answer.headers["allow"] == "POST"


def test_a_signal_that_no_exporter_accepts_is_404(serve):
    host = serve(exporters={"all": exporter("all", TracesOnly)})
    answer = post(host, "/v1/metrics")
    assert answer.status_code == 404
    assert "takes metrics; there are all: traces" in reason(answer)


@pytest.mark.parametrize(
    "authorization", [None, "Bearer wrong", "Basic YTpi", "Bearer", "Bearer s3cret-and-more"]
)
def test_a_request_without_the_right_token_is_refused(serve, authorization):
    host = serve(listeners=[http(auth={"bearer": "s3cret"})])
    headers = {**PROTOBUF, **({"authorization": authorization} if authorization else {})}
    for path in ("/v1/logs", "/receipts/1", "/nowhere"):
        answer = requests.post(host.url(path), data=logs().SerializeToString(), headers=headers, timeout=30)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert "s3cret" not in reason(answer)
    assert host.exporter().batches == []


def test_a_named_token_may_be_limited_to_some_signals(serve):
    bearer = {"app": "one", "auditor": {"token": "two", "signals": ["audit"]}}
    host = serve(listeners=[http(auth={"bearer": bearer})])

    def send(path, token):
        return post(host, path, logs().SerializeToString(), {**PROTOBUF, "authorization": f"Bearer {token}"})

    assert send("/v1/logs", "one").status_code == 200
    assert send("/v1/audit", "two").status_code == 200
    refused = send("/v1/logs", "two")
    assert refused.status_code == 403
    assert "the token 'auditor' may send audit, not logs" in reason(refused)


def test_an_exporters_routes_are_served(serve):
    host = serve()
    wrong = requests.post(host.url("/receipts/42"), timeout=30)
    assert (wrong.status_code, set(wrong.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})
    assert requests.get(host.url("/receipts/42"), timeout=30).json() == {"name": "42"}


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (Retry("disk full"), (503, "1"), "exporter all: disk full"),
        (Retry("busy", after=7.2), (429, "8"), "exporter all: busy"),
        (Rejected("record 3 is bad"), (400, None), "exporter all: record 3 is bad"),
        (Rejected("known id", status=409), (409, None), "exporter all: known id"),
        (ValueError("payload: hunter2"), (503, "1"), "exporter all failed (ValueError)"),
        (SystemExit(3), (503, "1"), "exporter all failed (SystemExit)"),
    ],
)
def test_an_exception_of_the_exporter_is_answered(serve, caplog, error, expected, message):
    host = serve()
    host.exporter().error = error
    answer = post(host, data=logs().SerializeToString())
    assert (answer.status_code, answer.headers.get("retry-after")) == expected
    assert message in reason(answer)
    assert "hunter2" not in reason(answer) + caplog.text
    host.exporter().error = None
    assert post(host, data=logs().SerializeToString()).status_code == 200


class TestCollector:
    """A Collector drops a batch that is refused permanently, so only malformed non-audit batches are."""

    listeners = [http(peer="collector", auth={"bearer": "right"})]  # noqa: RUF012
    right = {**PROTOBUF, "authorization": "Bearer right"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("path", "headers"),
        [
            ("/v1/audit", PROTOBUF),
            ("/v1/audits", right),
            ("/v1/audit", {**right, "content-type": "text/plain"}),
            ("/v1/audit", {**right, "assay-exporter": "not-yet"}),
        ],
    )
    def test_a_mistake_of_configuration_is_answered_as_retryable(self, serve, path, headers):
        answer = post(serve(listeners=self.listeners), path, logs().SerializeToString(), headers)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "sent as 503 so that the Collector keeps the batch" in reason(answer)

    def test_an_undecodable_batch_goes_to_the_exporters_that_accept_it(self, serve):
        exporters = {"all": exporter("all", UndecodableExporter), "other": exporter("other")}
        host = serve(listeners=self.listeners, exporters=exporters)
        assert post(host, "/v1/audit", b"\xff\xff", self.right).status_code == 200
        (batch,) = host.exporter().batches
        assert (batch.request, batch.payload, batch.peer) == (None, b"\xff\xff", "collector")
        assert "not a protobuf" in batch.error
        assert host.exporter("other").batches == []

    @pytest.mark.parametrize(("signal", "status"), [("logs", 400), ("audit", 503)])
    def test_without_such_an_exporter_only_an_audit_batch_is_retryable(self, serve, signal, status):
        host = serve(listeners=self.listeners)
        answer = post(host, f"/v1/{signal}", b"\xff\xff", self.right)
        assert answer.status_code == status
        assert "not a protobuf" in reason(answer)

    @pytest.mark.parametrize(("signal", "status"), [("logs", 400), ("audit", 503)])
    def test_the_rejection_of_an_audit_batch_is_answered_as_retryable(self, serve, signal, status):
        host = serve(listeners=self.listeners)
        host.exporter().error = Rejected("no")
        assert post(host, f"/v1/{signal}", logs().SerializeToString(), self.right).status_code == status

    @pytest.mark.parametrize(("signal", "status"), [("logs", 413), ("audit", 503)])
    def test_an_audit_body_that_is_too_long_is_answered_as_retryable(self, serve, signal, status):
        host = serve(listeners=self.listeners, limits=SMALL)
        assert post(host, f"/v1/{signal}", b"x" * 5000, self.right).status_code == status


def connect(host, source="127.0.0.1"):
    return socket.create_connection(host.host.addresses["http"], timeout=20, source_address=(source, 0))


def test_a_client_that_sends_its_headers_slowly_is_disconnected(serve):
    host = serve(limits={"read_timeout": 0.3})
    with connect(host) as silent, connect(host) as slow:
        slow.sendall(b"POST /v1/logs HTTP/1.1\r\nHost: x\r\n")
        assert slow.recv(100) == b""
        assert silent.recv(100) == b""


def test_a_client_that_sends_its_body_slowly_gets_408(serve):
    host = serve(limits={"read_timeout": 0.3})
    with connect(host) as slow:
        slow.sendall(
            b"POST /v1/logs HTTP/1.1\r\nHost: x\r\n"
            b"Content-Type: application/x-protobuf\r\nContent-Length: 99\r\n\r\nx"
        )
        assert slow.recv(1000).startswith(b"HTTP/1.1 408")


def test_the_size_of_the_headers_is_limited(serve):
    host = serve(limits={"header_bytes": 2048})
    with connect(host) as client:
        client.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 8000)
        assert client.recv(1000).startswith(b"HTTP/1.1 400")


def test_the_number_of_connections_is_limited(serve):
    host = serve(limits={"connections": 2})
    with connect(host) as one, connect(host, source="127.0.0.2") as two:
        for client in (one, two):
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(1000).startswith(b"HTTP/1.1 404")
        with connect(host) as three:
            assert three.recv(100) == b""


def test_the_bytes_of_all_requests_are_limited(serve):
    host = serve(limits={"body_bytes": 8192, "buffered_bytes": 16384})
    body = gzip.compress(logs().SerializeToString())
    admission = host.host._intake.admission
    admission._bytes[False] = 16384 - 10
    answer = post(host, data=body, headers={**PROTOBUF, "content-encoding": "gzip"})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    admission._bytes[False] = 0
    assert post(host, data=body, headers={**PROTOBUF, "content-encoding": "gzip"}).status_code == 200


@pytest.fixture(scope="module")
def shared():
    from .conftest import running

    with running({}) as host:
        yield host


ENCODINGS = st.sampled_from(["identity", "gzip"])
BODIES = st.one_of(
    st.binary(max_size=300),
    st.builds(
        lambda head, tail: logs().SerializeToString()[:head] + tail,
        st.integers(0, 60),
        st.binary(max_size=30),
    ),
    st.text(alphabet='{}[]":,resourceLogs0123null.e-', max_size=80).map(str.encode),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(body=BODIES, headers=st.sampled_from([PROTOBUF, JSON]), encoding=ENCODINGS, squeeze=st.booleans())
def test_random_bytes_are_accepted_or_refused_and_cause_no_defect(shared, body, headers, encoding, squeeze):
    body = gzip.compress(body) if squeeze else body
    answer = post(shared, data=body, headers={**headers, "content-encoding": encoding})
    assert answer.status_code in {200, 400}
    if answer.status_code == 400:
        assert reason(answer)


@pytest.mark.parametrize("record", [b'"hunter2"', b'{"timeUnixNano":"hunter2"}', b'{"traceId":"hunter2"}'])
def test_the_response_to_a_refused_request_contains_no_payload(serve, record):
    body = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[' + record + b"]}]}]}"
    answer = post(serve(), data=body, headers=JSON)
    assert answer.status_code == 400
    assert b"hunter2" not in answer.content


@pytest.mark.parametrize("peer", ["direct", "collector"])
def test_a_defect_of_the_host_is_answered_as_retryable(serve, peer, monkeypatch, caplog):
    host = serve(listeners=[http(peer=peer)])
    monkeypatch.setattr(host.host._intake, "decode", None)
    answer = post(host, data=logs().SerializeToString())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "TypeError" in caplog.text


def test_a_json_request_equals_its_protobuf_form(serve):
    host = serve()
    document = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"17","unknown":{"a":[]}}]}]}]}'
    assert post(host, data=document, headers=JSON).status_code == 200
    expected = ExportLogsServiceRequest()
    expected.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=17)
    assert host.exporter().batches[0].request == expected


def test_each_response_has_the_time_at_which_it_is_sent(serve, monkeypatch):
    host = serve()
    dates = iter(["Thu, 26 Nov 2026 12:00:00 GMT", "Thu, 26 Nov 2026 12:00:01 GMT"])
    monkeypatch.setattr("assay.host._http_server.formatdate", lambda *, usegmt: next(dates))
    answers = [requests.get(host.url(path), timeout=30) for path in ("/", "/elsewhere")]
    assert [each.headers["date"][-6:-4] for each in answers] == ["00", "01"]
    assert all(each.headers["date"].count(",") == 1 for each in answers)
