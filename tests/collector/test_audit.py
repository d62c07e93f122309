"""The audit pipeline: it authenticates senders and delivers every accepted record."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import urllib.error

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from assay.cli._collector.errors import CollectorStartError

pytestmark = pytest.mark.slow


@pytest.fixture
def certificate(tmp_path):
    """Write a self-signed certificate for loopback, its own authority; return its path and its key's."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    loopback = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "audit.crt", tmp_path / "audit.key"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pkcs8, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, none))
    return paths


def test_accepted_record_reaches_the_host_with_its_credentials(make_collector, sink, tools):
    with make_collector("all-in-one", ASSAY_HOST_HTTP_ENDPOINT=sink.url) as collector:
        status, _ = tools.post(
            collector.addresses.audit_url, tools.audit_request("a", "b"), token=tools.TOKEN
        )
        assert status == 200
        tools.eventually(lambda: len(sink.records) == 2)
    assert sink.paths == {"/v1/audit"}
    assert sink.authorizations == {f"Bearer {tools.HOST_TOKEN}"}
    assert sink.exporters == {"audit"}


@pytest.mark.parametrize("token", [None, "", "another", "the-collector's-toke"])
def test_wrong_credentials_are_rejected(make_collector, sink, tools, token):
    with make_collector("all-in-one", ASSAY_HOST_HTTP_ENDPOINT=sink.url) as collector:
        status, _ = tools.post(collector.addresses.audit_url, tools.audit_request("a"), token=token)
    assert status == 401
    assert sink.records == []


def test_telemetry_ports_reject_audit_records_and_the_audit_port_telemetry(make_collector, tools):
    with make_collector("all-in-one") as collector:
        body = tools.audit_request("a")
        assert (
            tools.post(f"http://{collector.addresses.otlp_http}/v1/audit", body, token=tools.TOKEN)[0] == 404
        )
        assert tools.post(f"http://{collector.addresses.audit}/v1/logs", body, token=tools.TOKEN)[0] == 404


def test_malformed_record_is_rejected(make_collector, tools):
    with make_collector("all-in-one") as collector:
        assert tools.post(collector.addresses.audit_url, b"\xff\xff", token=tools.TOKEN)[0] == 400


def test_audit_composition_requires_tls(make_collector, sink, certificate, tools):
    crt, key = certificate
    environment = {
        "ASSAY_HOST_HTTP_ENDPOINT": sink.url,
        "ASSAY_COLLECTOR_AUDIT_CERTIFICATE": str(crt),
        "ASSAY_COLLECTOR_AUDIT_KEY": str(key),
    }
    with make_collector("audit", **environment) as collector:
        body = tools.audit_request("a")
        url = f"https://{collector.addresses.audit}/v1/audit"
        assert (
            tools.post(url, body, token=tools.TOKEN, context=ssl.create_default_context(cafile=crt))[0] == 200
        )
        tools.eventually(lambda: sink.records == ["a"])
        assert tools.post(collector.addresses.audit_url, body, token=tools.TOKEN)[0] == 400
        with pytest.raises(urllib.error.URLError, match="certificate verify failed"):
            tools.post(url, body, token=tools.TOKEN, context=ssl.create_default_context())


def test_client_certificate_replaces_the_token(make_collector, sink, certificate, tools):
    crt, key = certificate
    environment = {
        "ASSAY_HOST_HTTP_ENDPOINT": sink.url,
        "ASSAY_COLLECTOR_AUDIT_CERTIFICATE": str(crt),
        "ASSAY_COLLECTOR_AUDIT_KEY": str(key),
        "ASSAY_COLLECTOR_AUDIT_CLIENT_CA": str(crt),
    }
    with make_collector("audit-mtls", **environment) as collector:
        url = f"https://{collector.addresses.audit}/v1/audit"
        stranger = ssl.create_default_context(cafile=crt)
        with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
            tools.post(url, tools.audit_request("a"), token=tools.TOKEN, context=stranger)
        known = ssl.create_default_context(cafile=crt)
        known.load_cert_chain(crt, key)
        assert tools.post(url, tools.audit_request("b"), context=known)[0] == 200
        tools.eventually(lambda: sink.records == ["b"])


def test_collector_does_not_start_without_the_client_authority(make_collector, certificate):
    crt, key = certificate
    environment = {
        "ASSAY_COLLECTOR_AUDIT_CERTIFICATE": str(crt),
        "ASSAY_COLLECTOR_AUDIT_KEY": str(key),
        "ASSAY_COLLECTOR_AUDIT_CLIENT_CA": "",
    }
    with pytest.raises(CollectorStartError, match="client CA"):
        make_collector("audit-mtls", **environment).start()


def test_accepted_records_survive_kills_under_load(make_collector, tools):
    accepted: set[str] = set()
    done = threading.Event()
    with tools.audit_sink() as sink:
        port = sink.server_port
    # The sink has stopped; its port is free for the second one.
    collector = make_collector("all-in-one", ASSAY_HOST_HTTP_ENDPOINT=f"http://127.0.0.1:{port}")
    collector.start()

    def send(sender: int) -> None:
        number = 0
        while not done.is_set():
            names = [f"{sender}.{number + each}" for each in range(10)]
            number += 10
            try:
                status, _ = tools.post(
                    collector.addresses.audit_url, tools.audit_request(*names), token=tools.TOKEN
                )
            except OSError:  # The Collector was killed and did not confirm the records.
                done.wait(0.05)
                continue
            if status == 200:
                accepted.update(names)

    senders = [threading.Thread(target=send, args=(sender,)) for sender in range(2)]
    for sender in senders:
        sender.start()
    for _ in range(3):
        before = len(accepted)
        tools.eventually(lambda before=before: len(accepted) > before + 200)
        collector.kill()
        collector.start()
    done.set()
    for sender in senders:
        sender.join()
    with tools.audit_sink(port) as sink:
        tools.eventually(lambda: accepted <= set(sink.records), 120)
    assert len(accepted) > 600
