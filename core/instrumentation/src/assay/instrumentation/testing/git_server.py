"""Git's own HTTP server, `git http-backend`, for the tests of programs that fetch and push."""

from __future__ import annotations

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

from assay.instrumentation.testing.http_server import HTTPServerThread

USER = "bob"
"""The user that a password is asked for."""


class GitServer(HTTPServerThread):
    """Serves the bare repositories of a folder over HTTP, on a free port of 127.0.0.1; a context manager.

    Args:
        folder: The folder.
        password: Asked for with the user `bob`, if it is not empty.

    Attributes:
        port: The port.
    """

    def __init__(self, folder: Path, password: str = "") -> None:
        super().__init__(type("Handler", (_Handler,), {"folder": folder, "password": password}))

    def url(self, name: str, credentials: str = "") -> str:
        """Return the URL of a repository.

        Args:
            name: Its folder's name.
            credentials: What comes before the host, such as `bob:secret@`.
        """
        return f"http://{credentials}127.0.0.1:{self.port}/{name}"


class _Handler(BaseHTTPRequestHandler):
    """Runs `git http-backend` as CGI (RFC 3875)."""

    folder: ClassVar[Path]
    password: ClassVar[str]

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""

    def _answer(self) -> None:
        if self.password and not self._is_allowed():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.end_headers()
            return
        head, _, content = self._run_backend().partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _is_allowed(self) -> bool:
        given = self.headers.get("Authorization", "").removeprefix("Basic ")
        return base64.b64decode(given).decode() == f"{USER}:{self.password}"

    def _run_backend(self) -> bytes:
        path, _, query = self.path.partition("?")
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_USER": USER,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        command = ["git", "http-backend"]
        return subprocess.run(command, input=body, env=variables, capture_output=True, check=False).stdout
