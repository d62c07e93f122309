"""Run etcd and the API server on loopback."""

from __future__ import annotations

import json
import ssl
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from assay.instrumentation.testing.ports import free_port
from assay.instrumentation.testing.waiting import wait_until

_AUDIT_POLICY = (
    "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"
)


class ApiServer:
    """etcd and a Kubernetes API server with RBAC; a context manager.

    Args:
        binary: The API server.
        folder: Folder for its files, which is empty or does not exist.
        is_durable: Whether etcd syncs each write to the disk, as in production. Tests do not need it.

    Attributes:
        url: Its URL.
        certificate: File with the certificate that it shows.
        tokens: Bearer tokens by user: `admin` may do everything, `guest` nothing.
    """

    def __init__(self, binary: Path, folder: Path, *, is_durable: bool = False) -> None:
        self._binary = binary
        self._folder = folder
        self._etcd_options = () if is_durable else ("--unsafe-no-fsync",)
        self._processes: list[subprocess.Popen[bytes]] = []
        self._etcd, self._peer, self._port = free_port(), free_port(), free_port()
        self.url = f"https://127.0.0.1:{self._port}"
        self.certificate = folder / "certificates" / "apiserver.crt"
        self.tokens = {"admin": "token-of-admin", "guest": "token-of-guest"}

    def __enter__(self) -> ApiServer:  # noqa: PYI034 - typing.Self is not in 3.10
        """Start both, and wait until the API server is ready.

        Raises:
            TimeoutError: It does not become ready; its log is in its folder.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._write_files()
        try:
            self._start("etcd", self._etcd_command())
            self._start("apiserver", self._server_command())
            wait_until(self._is_ready, timeout=120, interval=0.2)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop both."""
        self._stop()

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The ids of the processes of etcd and the API server, while they run."""
        return tuple(process.pid for process in self._processes)

    def audited(self, *verbs: str) -> list[dict[str, Any]]:
        """Return the records of the API server's own audit log.

        Args:
            verbs: Only requests with these verbs, such as `create`.
        """
        lines = (self._folder / "audit.log").read_text("utf-8").splitlines()
        return [record for record in map(json.loads, lines) if record["verb"] in verbs]

    def _write_files(self) -> None:
        key = rsa.generate_private_key(65537, 2048)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._file("accounts.key").write_bytes(private)
        self._file("accounts.pub").write_bytes(public)
        self._file("policy.yaml").write_text(_AUDIT_POLICY, "utf-8")
        groups = {"admin": ",system:masters"}
        rows = [f"{token},{user},{user}{groups.get(user, '')}\n" for user, token in self.tokens.items()]
        self._file("tokens.csv").write_text("".join(rows), "utf-8")

    def _etcd_command(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        return [
            "etcd",
            f"--data-dir={self._file('etcd')}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            *self._etcd_options,
        ]

    def _server_command(self) -> list[str]:
        return [
            str(self._binary),
            f"--etcd-servers=http://127.0.0.1:{self._etcd}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={self._file('tokens.csv')}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://assay.test",
            f"--service-account-key-file={self._file('accounts.pub')}",
            f"--service-account-signing-key-file={self._file('accounts.key')}",
            "--disable-admission-plugins=ServiceAccount",
            "--service-cluster-ip-range=10.0.0.0/24",
            f"--audit-policy-file={self._file('policy.yaml')}",
            f"--audit-log-path={self._file('audit.log')}",
        ]

    def _start(self, name: str, command: list[str]) -> None:
        with self._file(f"{name}.log").open("wb") as log:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
            )

    def _stop(self) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()

    def _is_ready(self) -> bool:
        for process in self._processes:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args} ended ({process.returncode}); see {self._folder}")
        request = Request(  # noqa: S310 - https, by construction
            f"{self.url}/readyz", headers={"Authorization": f"Bearer {self.tokens['admin']}"}
        )
        try:
            context = ssl.create_default_context(cafile=str(self.certificate))
            context.check_hostname = False
            with urlopen(request, timeout=5, context=context) as answer:  # noqa: S310 - as above
                return bool(answer.status == 200)  # noqa: PLR2004 - OK
        except (URLError, OSError):
            return False

    def _file(self, name: str) -> Path:
        return self._folder / name
