"""A process's OpenTelemetry in memory with ALUMIINI's events instrumented, and a git server."""

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor

from assay.instrumentation.testing import InMemoryTelemetry
from assay.instrumentation.testing.kubernetes import ApiServer, ApiServerNotFoundError, find_api_server


@pytest.fixture
def telemetry():
    """Return the telemetry of everything that is emitted while the test runs."""
    with InMemoryTelemetry() as sdk:
        AlumiiniInstrumentor().instrument(**sdk.providers)
        yield sdk
        AlumiiniInstrumentor().uninstrument()


@pytest.fixture
def git_server():
    """Return the class of git servers."""
    return GitServer


class GitServer:
    """Serves the bare repositories of a folder over HTTP, on loopback; a context manager.

    Args:
        folder: The folder.
        password: Asked for with the user `bob`, if it is not empty.
    """

    def __init__(self, folder, password="") -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(folder, password))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.port = self._server.server_address[1]

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, name, credentials=""):
        """Return the URL of a repository."""
        return f"http://{credentials}127.0.0.1:{self.port}/{name}"


def _handler(folder, password):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._answer()

        def do_POST(self):
            self._answer()

        def log_message(self, *_):
            pass

        def _answer(self):
            if password and not self._is_allowed():
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            self._run_backend()

        def _is_allowed(self):
            given = self.headers.get("Authorization", "").removeprefix("Basic ")
            return base64.b64decode(given).decode() == f"bob:{password}"

        def _run_backend(self):
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            environment = {
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": str(folder),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": path,
                "QUERY_STRING": query,
                "REQUEST_METHOD": self.command,
                "REMOTE_USER": "bob",
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
            )
            head, _, content = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


@pytest.fixture(scope="session")
def api_server(tmp_path_factory, unlimited_memory):
    """Return a real Kubernetes API server; the first run builds it, which takes minutes."""
    try:
        with unlimited_memory():
            binary = find_api_server()
    except ApiServerNotFoundError as error:
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {error}")
        pytest.skip(str(error))
    with ApiServer(binary, tmp_path_factory.mktemp("kubernetes")) as server:
        yield server
