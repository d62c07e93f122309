"""Connections that tried to hold a listener, or all of them, for ever."""

from __future__ import annotations

import contextlib
import socket
import time

import grpc
import pytest
import requests

pytestmark = [pytest.mark.attack, pytest.mark.slow]

PROTOBUF = {"content-type": "application/x-protobuf"}
EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TELEMETRY = {
    "auth": {"bearer": {"app": {"token": "traces-only", "signals": ["traces"]}, "auditor": "audits"}}
}
UPLOAD = (
    b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: 1000\r\n\r\nx"
)


def connect(stack, address):
    return stack.enter_context(socket.create_connection(address, timeout=30))


def is_closed_within(seconds, client, *, sending):
    """Return whether the host closes a connection on which a byte arrives again and again."""
    deadline = time.monotonic() + seconds
    client.settimeout(0.1)
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < deadline:
            with contextlib.suppress(TimeoutError):
                if sending:
                    client.sendall(b"x")
                if client.recv(65536) == b"":
                    return True
        return False
    return True


def send(host, listener, path, token):
    headers = {**PROTOBUF, "authorization": f"Bearer {token}"}
    return requests.post(host.url(listener, path), b"", headers=headers, timeout=30).status_code


def answers_in_time(host, listener):
    """Return whether a listener answers once the host has noticed that the other clients have gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(requests.ConnectionError):
            return requests.post(host.url(listener, "/v1/traces"), headers=PROTOBUF, timeout=30).ok
        time.sleep(0.05)
    return False


def test_idle_connections_leave_files_for_health_and_the_other_listeners(serve):
    listeners = [{"name": name, "protocol": "http"} for name in ("one", "two", "three")]
    listeners.append({"name": "rpc", "protocol": "grpc"})
    host = serve(*listeners, files=400)
    with contextlib.ExitStack() as stack:
        for listener in ("one", "two", "rpc", "health"):
            for _ in range(250 if listener != "health" else 20):
                with contextlib.suppress(OSError):
                    connect(stack, host.address(listener))
        assert host.health() == "ok"
        assert requests.post(host.url("three", "/v1/traces"), headers=PROTOBUF, timeout=30).status_code == 200
    for listener in ("one", "two"):
        assert answers_in_time(host, listener)
    assert len(host.log) < 50_000


@pytest.mark.parametrize("sending", [True, False])
@pytest.mark.parametrize("token", [b"wrong", b"traces-only"])
def test_an_unfinished_body_never_holds_a_connection(serve, sending, token):
    limits = {"read_timeout": 0.5, "export_timeout": 0.5, "idle_timeout": 1}
    host = serve({"name": "http", "protocol": "http", **TELEMETRY}, limits=limits)
    with socket.create_connection(host.address("http"), timeout=30) as client:
        client.sendall(UPLOAD % token)
        assert is_closed_within(20, client, sending=sending)


def send_without_reading(client, request):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(TimeoutError):  # the buffers are full
            client.sendall(request)


def test_a_response_that_nobody_reads_never_holds_a_connection(serve):
    limits = {"read_timeout": 0.5, "export_timeout": 0.5, "idle_timeout": 1}
    host = serve({"name": "http", "protocol": "http"}, limits=limits)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(host.address("http"))
        client.settimeout(0.5)
        with pytest.raises(ConnectionError):
            send_without_reading(client, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 1000)


def test_slow_uploads_leave_room_for_other_senders_listeners_and_audit(serve):
    host = serve(
        {"name": "http", "protocol": "http", **TELEMETRY},
        {"name": "other", "protocol": "http", **TELEMETRY},
        limits={"concurrent_requests": 8},
    )
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            connect(stack, host.address("http")).sendall(UPLOAD % b"traces-only")
        deadline = time.monotonic() + 30
        while send(host, "http", "/v1/traces", "traces-only") != 429 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert send(host, "http", "/v1/traces", "traces-only") == 429
        assert send(host, "http", "/v1/traces", "auditor-is-another-sender") == 401
        assert send(host, "http", "/v1/traces", "audits") == 200
        assert send(host, "http", "/v1/audit", "audits") == 200
        assert send(host, "other", "/v1/traces", "traces-only") == 200
        # The auditor's own telemetry does not use up its audit requests either.
        for _ in range(20):
            connect(stack, host.address("http")).sendall(UPLOAD % b"audits")
        deadline = time.monotonic() + 30
        while send(host, "http", "/v1/traces", "audits") != 429 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert send(host, "http", "/v1/audit", "audits") == 200


FEW = {"connections": 40, "read_timeout": 300}


def connect_until_refused(stack, address, count, *, source="127.0.0.1"):
    """Open connections that send nothing; return those that were accepted."""
    opened = []
    for _ in range(count):
        with contextlib.suppress(OSError):
            client = stack.enter_context(
                socket.create_connection(address, timeout=30, source_address=(source, 0))
            )
            opened.append(client)
    return opened


def is_open(client):
    """Return whether the host has left a connection open that sent nothing."""
    client.settimeout(0)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def open_request(stack, address, token):
    """Send a request on a connection that stays open; return its status."""
    client = connect(stack, address)
    client.sendall(
        b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-protobuf\r\n"
        b"Authorization: Bearer %b\r\nContent-Length: 0\r\n\r\n" % token
    )
    return client.recv(65536)[9:12]


@pytest.mark.parametrize("listener", ["http", "health"])
def test_connections_that_send_nothing_never_keep_a_sender_out(serve, listener):
    host = serve({"name": "http", "protocol": "http", **TELEMETRY}, limits=FEW)
    with contextlib.ExitStack() as stack:
        connect_until_refused(stack, host.address(listener), 100)
        if listener == "health":
            assert host.health() == "ok"
        else:
            assert send(host, "http", "/v1/traces", "traces-only") == 200


def test_a_token_takes_half_of_the_connections_and_leaves_the_rest_to_others(serve):
    host = serve({"name": "http", "protocol": "http", **TELEMETRY}, limits=FEW)
    with contextlib.ExitStack() as stack:
        answers = [open_request(stack, host.address("http"), b"traces-only") for _ in range(60)]
        assert (answers.count(b"200"), answers.count(b"429")) == (20, 40)
        assert send(host, "http", "/v1/audit", "audits") == 200


def test_an_address_takes_half_of_the_connections_before_it_presents_credentials(serve):
    host = serve({"name": "http", "protocol": "http", **TELEMETRY}, limits=FEW)
    with contextlib.ExitStack() as stack:
        few = connect_until_refused(stack, host.address("http"), 5, source="127.0.0.2")
        many = connect_until_refused(stack, host.address("http"), 60)
        assert send(host, "http", "/v1/traces", "traces-only") == 200
        assert all(is_open(client) for client in few)
        assert sum(is_open(client) for client in many) <= 20


def test_grpc_connections_that_send_nothing_never_keep_a_sender_out(serve):
    host = serve({"name": "grpc", "protocol": "grpc", **TELEMETRY}, limits=FEW)
    with contextlib.ExitStack() as stack:
        for client in connect_until_refused(stack, host.address("grpc"), 60):
            with contextlib.suppress(OSError):
                client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04" + bytes(5))  # settings
        channel = stack.enter_context(grpc.insecure_channel(host.addresses["grpc"]))
        metadata = (("authorization", "Bearer traces-only"),)
        answer = channel.unary_unary(EXPORT_TRACES)(b"", timeout=30, metadata=metadata, wait_for_ready=True)
        assert answer == b""


def test_a_token_takes_half_of_the_grpc_connections(serve):
    host = serve({"name": "grpc", "protocol": "grpc", **TELEMETRY}, limits=FEW)

    def call(token):
        # A channel of its own, so a connection of its own.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.arg", len(channels))]
        channel = stack.enter_context(grpc.insecure_channel(host.addresses["grpc"], options))
        channels.append(channel)
        metadata = (("authorization", f"Bearer {token}"),)
        try:
            channel.unary_unary(EXPORT_TRACES)(b"", timeout=30, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK

    channels = []
    with contextlib.ExitStack() as stack:
        answers = [call("traces-only") for _ in range(25)]
        assert answers == [grpc.StatusCode.OK] * 20 + [grpc.StatusCode.RESOURCE_EXHAUSTED] * 5
        assert call("audits") is grpc.StatusCode.OK


def test_headers_of_100_kb_are_refused_even_if_they_arrive_at_once(serve):
    host = serve({"name": "http", "protocol": "http"})
    for listener in ("http", "health"):
        answer = requests.get(host.url(listener, "/health"), headers={"x": "x" * 100_000}, timeout=30)
        assert answer.status_code in {400, 431}
