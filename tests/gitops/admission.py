"""An admission webhook that delays the API server's answer to the writes of labelled ConfigMaps."""

from __future__ import annotations

import base64
import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import kubernetes
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LABELS = {"admission": "slow"}
DELAY_SECONDS = 10.5  # more than an apply may last, and less than the API server waits
ANSWER_SECONDS = 30


class SlowAdmission:
    """The webhook on loopback; a context manager serves it.

    Args:
        folder: Folder for its certificate, which does not exist.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._certificate = _write_certificate(folder / "admission.pem")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Reviews)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "admission.pem")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> SlowAdmission:  # noqa: PYI034 - typing.Self is not in 3.10
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def install(self, api: kubernetes.client.ApiClient) -> None:
        """Make an API server ask the webhook (admissionregistration.k8s.io/v1)."""
        webhook = {
            "name": "slow.example.org",
            "clientConfig": {
                "url": f"https://127.0.0.1:{self._server.server_port}/",
                "caBundle": base64.b64encode(self._certificate).decode(),
            },
            "rules": [
                {
                    "apiGroups": [""],
                    "apiVersions": ["v1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": ["configmaps"],
                }
            ],
            "objectSelector": {"matchLabels": LABELS},
            "sideEffects": "None",
            "timeoutSeconds": ANSWER_SECONDS,
            "admissionReviewVersions": ["v1"],
        }
        kubernetes.client.AdmissionregistrationV1Api(api).create_validating_webhook_configuration(
            {"metadata": {"name": "slow.example.org"}, "webhooks": [webhook]}
        )


class _Reviews(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(DELAY_SECONDS)
        answer = {
            "apiVersion": review["apiVersion"],
            "kind": review["kind"],
            "response": {"uid": review["request"]["uid"], "allowed": True},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def _write_certificate(path: Path) -> bytes:
    """Write a new key and its certificate for 127.0.0.1 to a file, and return the certificate (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "admission")])
    now, day = dt.datetime.now(dt.timezone.utc), dt.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    builder = builder.add_extension(address, critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate)
    return certificate
