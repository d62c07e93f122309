"""`OTLPAuditExporter` over TLS, against the real host and a server whose TLS alert gives the reason."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from assay.audit import (
    AuditProvider,
    AuditRecord,
    ConfigurationError,
    ExportError,
    OTLPAuditExporter,
    SimpleProcessor,
)
from assay.exporters.audit import verify

LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success")
USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


class Authority:
    """Issue certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = str(self._write("authority", self._key, authority=True))
        self.server, self.client = self._issue("server"), self._issue("client")

    def _issue(self, name: str) -> dict[str, str]:
        key = ec.generate_private_key(ec.SECP256R1())
        path = self.folder / f"{name}.key"
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
        return {"certificate": str(self._write(name, key, authority=False)), "key": str(path)}

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> Path:
        now = dt.datetime.now(dt.timezone.utc)
        issuer = self._key.public_key()
        usage = {**dict.fromkeys(USAGES, False), "key_cert_sign": authority, "digital_signature": True}
        certificate = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            # Python 3.13 verifies strictly: RFC 5280 asks for all of these.
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.KeyUsage(**usage), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return path


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ours")


@pytest.fixture
def theirs(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "theirs")


@dataclass(frozen=True)
class Server:
    """A server's URL, and the error of a client whose certificate it does not trust."""

    url: str
    rejection: str


@pytest.fixture(params=["host", "alert"])
def server(request, ours, run_host, database) -> Iterator[Server]:
    tls = {**ours.server, "client_ca": ours.certificate}
    if request.param == "host":
        listener = {"name": "tls", "protocol": "http", "address": "127.0.0.1:0", "tls": tls}
        host, port = run_host(listener, database=str(database)).addresses["tls"]
        yield Server(f"https://{host}:{port}/v1/audit", "the connection; .*client_certificate")
        return
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls["client_ca"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the alert arrives within the handshake
    context.load_cert_chain(tls["certificate"], tls["key"])

    class Accept(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            pass

    http = Quiet(("127.0.0.1", 0), Accept)
    http.socket = context.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield Server(f"https://127.0.0.1:{http.server_port}/v1/audit", "ALERT.*client_certificate")
    http.shutdown()
    thread.join()
    http.server_close()


def emit(url: str, **settings: str) -> None:
    exporter = OTLPAuditExporter(url, retries=0, **settings)
    AuditProvider(SimpleProcessor(exporter)).get_logger("tests").emit(LOGIN)


def as_client(authority: Authority) -> dict[str, str]:
    return {
        "client_certificate": authority.client["certificate"],
        "client_key": authority.client["key"],
    }


def test_a_trusted_client_is_accepted(server, ours):
    emit(server.url, certificate=ours.certificate, **as_client(ours))
    both = Path(ours.client["certificate"]).with_name("both.pem")
    both.write_text(Path(ours.client["certificate"]).read_text() + Path(ours.client["key"]).read_text())
    emit(server.url, certificate=ours.certificate, client_certificate=str(both))


def test_the_record_of_a_trusted_client_is_stored(ours, run_host, database, key):
    tls = {**ours.server, "client_ca": ours.certificate}
    listener = {"name": "tls", "protocol": "http", "address": "127.0.0.1:0", "tls": tls}
    host, port = run_host(listener, database=str(database)).addresses["tls"]
    emit(f"https://{host}:{port}/v1/audit", certificate=ours.certificate, **as_client(ours))
    assert verify(database, key()).records == 1


@pytest.mark.parametrize("client", ["missing", "wrong"])
def test_the_error_of_an_untrusted_client_names_the_setting(server, ours, theirs, client):
    settings = {} if client == "missing" else as_client(theirs)
    with pytest.raises(ExportError, match=server.rejection):
        emit(server.url, certificate=ours.certificate, **settings)


def test_an_untrusted_server_is_reported(server, ours, theirs):
    for trusted in ({"certificate": theirs.certificate}, {}):
        with pytest.raises(ExportError, match="set certificate to a file"):
            emit(server.url, **trusted, **as_client(ours))


def test_a_server_under_another_name_is_reported(server, ours):
    url = server.url.replace("127.0.0.1", "localhost")
    with pytest.raises(ExportError, match=r"use a name or address .*in the endpoint"):
        emit(url, certificate=ours.certificate, **as_client(ours))


def test_a_server_without_tls_is_reported(run_host, database, ours):
    listener = {"name": "plain", "protocol": "http", "address": "127.0.0.1:0"}
    host, port = run_host(listener, database=str(database)).addresses["plain"]
    with pytest.raises(ExportError, match=r"TLS there: check the endpoint.s scheme"):
        emit(f"https://{host}:{port}/v1/audit", certificate=ours.certificate)


def test_a_certificate_needs_its_own_key_without_a_password(ours, theirs, tmp_path):
    key = serialization.load_pem_private_key(Path(ours.client["key"]).read_bytes(), None)
    locked = tmp_path / "locked.key"
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked.write_bytes(key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret")))
    for wrong in (theirs.client["key"], str(locked), ""):
        with pytest.raises(ConfigurationError, match=r"client_key.*without a password"):
            OTLPAuditExporter(client_certificate=ours.client["certificate"], client_key=wrong)
