"""The parts for tests."""

from __future__ import annotations

import gzip
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from assay.instrumentation.testing import (
    BusEvents,
    CertificateAuthority,
    GitServer,
    OTLPReceiver,
    clean_environment,
    free_port,
    run_instrumented,
    wait_until,
)
from assay.telemetry import execute


def _request():
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "shop"
    resource.scope_spans.add().spans.add(name="checkout")
    return request.SerializeToString()


def _post(url, body, **headers):
    request = urllib.request.Request(url, body, headers={"Content-Type": "application/x-protobuf", **headers})
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


def _git(*arguments):
    return subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)


def test_the_git_server_serves_repositories_and_asks_for_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    repository = tmp_path / "served" / "shop.git"
    assert _git("init", "--quiet", "--bare", str(repository)).returncode == 0
    with GitServer(repository.parent) as server:
        assert _git("ls-remote", server.url("shop.git")).returncode == 0
        assert "not found" in _git("ls-remote", server.url("other.git")).stderr
    assert _git("ls-remote", server.url("shop.git")).returncode != 0
    with GitServer(repository.parent, password="secret") as server:
        assert _git("ls-remote", server.url("shop.git", "bob:secret@")).returncode == 0
        assert _git("ls-remote", server.url("shop.git", "bob:wrong@")).returncode != 0
        assert _git("ls-remote", server.url("shop.git")).returncode != 0


def test_the_receiver_keeps_what_it_accepts():
    with OTLPReceiver() as receiver:
        assert _post(f"{receiver.endpoint}/v1/traces", _request()) == 200
        compressed = gzip.compress(_request())
        assert _post(f"{receiver.endpoint}/v1/traces", compressed, **{"Content-Encoding": "gzip"}) == 200
        receiver.status = 503
        with pytest.raises(urllib.error.HTTPError, match="503"):
            _post(f"{receiver.endpoint}/v1/traces", _request())
        with pytest.raises(urllib.error.HTTPError, match="404"):
            _post(f"{receiver.endpoint}/v1/other", b"")
        assert [span.name for span in receiver.spans()] == ["checkout", "checkout"]
        assert receiver.spans("other") == []
        assert receiver.resources() == [{"service.name": "shop"}] * 2
        assert len(receiver.bodies) == 4
        endpoint = receiver.endpoint
    with pytest.raises(urllib.error.URLError):
        _post(f"{endpoint}/v1/traces", b"")


def test_waiting_returns_the_value_or_raises():
    values = iter([None, [], "arrived"])
    assert wait_until(lambda: next(values), interval=0.001) == "arrived"
    with pytest.raises(TimeoutError, match="returned 0 last"):
        wait_until(lambda: 0, timeout=0.01, interval=0.001)


def test_certificates_are_for_the_loopback_address(tmp_path):
    authority = CertificateAuthority(tmp_path / "ours")
    other = CertificateAuthority(tmp_path / "theirs")
    server, client = authority.issue("server"), authority.issue("client")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(server.certificate, server.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greet_twice, args=(context, listener))
        thread.start()
        assert _greeted(authority, client, listener.getsockname()) == b"hello"
        with pytest.raises(ssl.SSLError):
            _greeted(other, client, listener.getsockname())
        thread.join()


def _greet_twice(context, listener):
    for _ in range(2):
        connection, _ = listener.accept()
        with connection:
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.sendall(b"hello")
            except ssl.SSLError:
                pass


def _greeted(authority, client, address):
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.load_cert_chain(client.certificate, client.key)
    with (
        socket.create_connection(address) as connection,
        context.wrap_socket(connection, server_hostname="127.0.0.1") as secure,
    ):
        return secure.recv(5)


def test_a_free_port_can_be_listened_on():
    with socket.create_server(("127.0.0.1", free_port())):
        pass


def test_bus_events_are_those_of_the_block():
    execute("shop.before")
    with BusEvents("shop.*") as events:
        execute("shop.during", {"n": 1}, {"item": "tea"})
        execute("other.during")
    execute("shop.after")

    assert events.names == ["shop.during"]
    assert events.measurements("shop.during") == [{"n": 1}]
    assert events.metadata("shop.during")[0]["item"] == "tea"


def test_programs_run_without_the_settings_of_the_test(monkeypatch, tmp_path):
    monkeypatch.setenv("ASSAY_LOGS", "json")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "test")
    environment = clean_environment(OTEL_SDK_DISABLED="true", EXTRA="1")
    code = "import os; print(sorted(set(os.environ) & {'ASSAY_LOGS', 'EXTRA', 'OTEL_SERVICE_NAME'}))"
    done = run_instrumented("python", "-c", code, environment=environment, folder=tmp_path)

    assert done.stdout.strip() == "['EXTRA']", done.stderr


def test_the_kit_itself_loads_neither_the_sdk_nor_its_parts_for_tests():
    code = (
        "import sys, assay.instrumentation; "
        "heavy = ('opentelemetry.sdk', 'assay.instrumentation.testing', 'yaml', 'multiprocessing', "
        "'cryptography', 'assay.semconv._generated.catalogue'); "
        "print([module for module in sys.modules if module.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
