"""OTLP over gRPC on real sockets, with OpenTelemetry's own stubs."""

import zlib

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub

from assay.host import Rejected, Retry

from .conftest import UndecodableExporter, deep, exporter, grpc_, logs, traces

EXPORT = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"


@pytest.fixture
def connect():
    channels = []

    def open_channel(host):
        channels.append(grpc.insecure_channel(host.target()))
        return channels[-1]

    yield open_channel
    for channel in channels:
        channel.close()


def refusal(call):
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


def retry_after(error):
    details = dict(error.trailing_metadata())["grpc-status-details-bin"]
    status = Status.FromString(details)
    assert (status.code, status.message) == (error.code().value[0], error.details())
    for detail in status.details:
        info = RetryInfo()
        if detail.Unpack(info):
            return info.retry_delay.ToMilliseconds() / 1000
    return None


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_accepts_logs_traces_and_audit(serve, connect, compression):
    host = serve()
    channel = connect(host)
    LogsServiceStub(channel).Export(logs(100), compression=compression)
    LogsServiceStub(channel).Export(logs(), compression=compression, metadata=(("assay-signal", "audit"),))
    TraceServiceStub(channel).Export(traces(3000), compression=compression)
    assert [(batch.signal, batch.request) for batch in host.exporter().batches] == [
        ("logs", logs(100)),
        ("audit", logs()),
        ("traces", traces(3000)),
    ]


def test_an_empty_request_is_a_success(serve, connect):
    host = serve()
    LogsServiceStub(connect(host)).Export(logs(0).__class__())
    assert host.exporter().batches == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x0a\xff\xff", "not a protobuf ExportLogsServiceRequest"),
        (logs(name="ABCDE").SerializeToString().replace(b"ABCDE", b"AB\xff\xfeE"), "not a protobuf"),
        (deep(40).SerializeToString(), "nested deeper than 64"),
        (b"\x1f\x8b no gzip", "not valid gzip"),
    ],
)
def test_bad_content_is_invalid_argument(serve, connect, body, message):
    error = refusal(lambda: connect(serve()).unary_unary(EXPORT)(body))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert message in error.details()
    assert retry_after(error) is None


def test_a_message_that_is_too_long_and_a_gzip_bomb_are_refused_permanently(serve, connect):
    host = serve(limits={"body_bytes": 4096, "buffered_bytes": 65536})
    send = connect(host).unary_unary(EXPORT)
    assert refusal(lambda: send(b"x" * 5000)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    squeeze = zlib.compressobj(wbits=31)
    bomb = squeeze.compress(bytes(3_000_000)) + squeeze.flush()
    for compression, body in ((None, bomb), (grpc.Compression.Gzip, bytes(3_000_000))):
        error = refusal(lambda body=body, how=compression: send(body, compression=how))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "4096 bytes decompressed" in error.details()
        assert retry_after(error) is None


def test_the_refusal_of_an_unknown_method_names_the_known_ones(serve, connect):
    error = refusal(
        lambda: connect(serve()).unary_unary("/opentelemetry.proto.collector.Profiles/Export")(b"")
    )
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert EXPORT in error.details()


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),)])
def test_credentials_are_required(serve, connect, metadata):
    host = serve(listeners=[grpc_(auth={"bearer": "s3cret"})])
    stub = LogsServiceStub(connect(host))
    error = refusal(lambda: stub.Export(logs(), metadata=metadata))
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "s3cret" not in error.details()
    stub.Export(logs(), metadata=(("authorization", "Bearer s3cret"),))
    assert len(host.exporter().batches) == 1


@pytest.mark.parametrize(
    ("error", "code", "after"),
    [
        (Retry("disk full"), grpc.StatusCode.UNAVAILABLE, 1),
        (Retry("busy", after=7.5), grpc.StatusCode.RESOURCE_EXHAUSTED, 7.5),
        (Rejected("bad"), grpc.StatusCode.INVALID_ARGUMENT, None),
        (Rejected("known", status=409), grpc.StatusCode.ALREADY_EXISTS, None),
        (ValueError("hunter2"), grpc.StatusCode.UNAVAILABLE, 1),
    ],
)
def test_an_exception_of_the_exporter_is_answered(serve, connect, error, code, after):
    host = serve()
    host.exporter().error = error
    answered = refusal(lambda: LogsServiceStub(connect(host)).Export(logs()))
    assert answered.code() is code
    assert retry_after(answered) == after
    assert "hunter2" not in answered.details()


def test_a_collector_must_keep_a_batch_that_is_not_malformed(serve, connect):
    host = serve(
        listeners=[grpc_(peer="collector", auth={"bearer": "right"})],
        exporters={"all": exporter("all", UndecodableExporter)},
    )
    channel = connect(host)
    error = refusal(lambda: LogsServiceStub(channel).Export(logs()))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_after(error) == 1
    channel.unary_unary(EXPORT)(b"\xff", metadata=(("authorization", "Bearer right"),))
    assert host.exporter().batches[0].error


def test_a_defect_of_the_host_is_answered_as_retryable(serve, connect, monkeypatch):
    host = serve()
    monkeypatch.setattr(host.host._intake, "decode", None)
    error = refusal(lambda: LogsServiceStub(connect(host)).Export(logs()))
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert retry_after(error) == 1
