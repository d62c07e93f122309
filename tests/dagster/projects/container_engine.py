"""The part of Docker's HTTP API that starts containers.

Usage: `python container_engine.py PORT LOG`.

Each container is a process of this machine.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from containers import Container


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
