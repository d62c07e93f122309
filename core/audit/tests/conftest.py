from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


@dataclass
class Answers:
    """A server's responses in order, of which the last repeats: status, headers, body."""

    script: list[tuple[int, dict[str, str], bytes]]
    url: str = ""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Any]:
    servers = []

    def start(*script: tuple[int, dict[str, str], bytes]) -> Answers:
        answers = Answers(list(script))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answers.got.append((dict(self.headers), body))
                status, headers, text = (
                    answers.script.pop(0) if len(answers.script) > 1 else answers.script[0]
                )
                self.send_response_only(status)
                for name, value in {**headers, "Content-Length": str(len(text))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: Any) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(http)
        answers.url = f"http://127.0.0.1:{http.server_port}/v1/audit"
        return answers

    yield start
    for http in servers:
        http.shutdown()
        http.server_close()
