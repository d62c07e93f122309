"""TLS and client certificates, for both protocols."""

import datetime as dt
import ipaddress

import grpc
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub

from .conftest import grpc_, http, logs

PROTOBUF = {"content-type": "application/x-protobuf"}


def make_certificates(folder):
    """Create an authority, and certificates of it for a server and a client."""
    now = dt.datetime.now(dt.timezone.utc)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])

    def issue(name, key, *, authority):
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            # Python 3.13 verifies strictly: RFC 5280 requires both identifiers.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
            )
        )
        if authority:
            usage = x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_agreement=False,
                key_encipherment=False,
                data_encipherment=False,
                encipher_only=False,
                decipher_only=False,
            )
            builder = builder.add_extension(usage, critical=True)
        else:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
            builder = builder.add_extension(names, critical=False)
        path = folder / f"{name}.pem"
        path.write_bytes(
            builder.sign(authority_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        return path

    files = {"ca": str(issue("authority", authority_key, authority=True))}
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / f"{name}.key").write_bytes(private)
        files[name] = {
            "certificate": str(issue(name, key, authority=False)),
            "key": str(folder / f"{name}.key"),
        }
    return files


@pytest.fixture
def files(tmp_path):
    return make_certificates(tmp_path)


def test_http_requires_a_client_certificate(serve, files):
    host = serve(listeners=[http(tls={**files["server"], "client_ca": files["ca"]})])
    send = {"data": logs().SerializeToString(), "headers": PROTOBUF, "verify": files["ca"], "timeout": 30}
    url = host.url("/v1/logs", scheme="https")
    known = requests.post(url, cert=(files["client"]["certificate"], files["client"]["key"]), **send)
    assert known.status_code == 200
    with pytest.raises(requests.ConnectionError):
        requests.post(url, **send)
    assert len(host.exporter().batches) == 1


def test_grpc_requires_a_client_certificate(serve, files, tmp_path):
    host = serve(listeners=[grpc_(tls={**files["server"], "client_ca": files["ca"]})])
    authority = (tmp_path / "authority.pem").read_bytes()
    key, certificate = (tmp_path / name for name in ("client.key", "client.pem"))
    known = grpc.ssl_channel_credentials(authority, key.read_bytes(), certificate.read_bytes())
    with grpc.secure_channel(host.target(), known) as channel:
        LogsServiceStub(channel).Export(logs(), timeout=20)
    with (
        grpc.secure_channel(host.target(), grpc.ssl_channel_credentials(authority)) as channel,
        pytest.raises(grpc.RpcError),
    ):
        LogsServiceStub(channel).Export(logs(), timeout=5)
    assert len(host.exporter().batches) == 1


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_tls_without_client_certificates(serve, files, tmp_path, compression):
    host = serve(listeners=[grpc_(tls=files["server"])])
    credentials = grpc.ssl_channel_credentials((tmp_path / "authority.pem").read_bytes())
    with grpc.secure_channel(host.target(), credentials) as channel:
        LogsServiceStub(channel).Export(logs(), timeout=20, compression=compression)
    assert len(host.exporter().batches) == 1
