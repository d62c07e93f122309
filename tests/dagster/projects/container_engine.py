"""The part of Docker's HTTP API that starts containers.

Usage: `python container_engine.py PORT LOG`.

A container is a process on this machine. It gets the environment of the engine, as that of an image, and the
container's own. Its command runs under `opentelemetry-instrument`, as with the entry point of an image.
"""

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

INSTRUMENT = Path(os.environ["ENGINE_PYTHON"]).with_name("opentelemetry-instrument")


class Container:
    """A container that has been created.

    Args:
        command: Its command, which starts with `dagster`.
        variables: Its environment variables.
    """

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self.command = [str(INSTRUMENT), str(INSTRUMENT.with_name(command[0])), *command[1:]]
        self.environment = {**os.environ, **variables}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path) -> None:
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def exit_status(self) -> int | None:
        return None if self.process is None else self.process.poll()


class Engine(BaseHTTPRequestHandler):
    """Answers the requests of dagster-docker's client."""

    containers: dict[str, Container] = {}  # noqa: RUF012 - the handlers of all requests share it
    log = Path(sys.argv[2])

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.endswith("/version"):
            self.answer({"ApiVersion": "1.44", "MinAPIVersion": "1.24"})
        else:
            self.answer(self.container(path.split("/")[3]))

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        sent = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        if url.path.endswith("/containers/create"):
            name = parse_qs(url.query)["name"][0] if url.query else str(len(self.containers))
            variables = dict(each.split("=", 1) for each in sent["Env"])
            self.containers[name] = Container(sent["Cmd"], variables)
            self.answer({"Id": name, "Warnings": []}, 201)
        elif url.path.endswith("/start"):
            self.containers[url.path.split("/")[3]].start(self.log)
            self.answer({}, 204)
        elif url.path.endswith("/wait"):
            self.answer({"StatusCode": self.containers[url.path.split("/")[3]].exit_status})

    def container(self, name: str) -> dict:
        status = self.containers[name].exit_status
        state = {"Status": "running" if status is None else "exited"}
        return {"Id": name, "Name": f"/{name}", "State": state, "Image": "sha256:0", "Config": {}}

    def answer(self, body: dict, status: int = 200) -> None:
        text = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Engine).serve_forever()
