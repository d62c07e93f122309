"""Witnesses that serve on this machine, for tests."""

from __future__ import annotations

import asyncio
import http.server
import re
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from assay.exporters.audit import Witness, load_trusted, witness_app
from assay.exporters.audit._keys import load_or_create
from assay.host import LimitSettings
from assay.host.http_server import listen
from assay.proof import WitnessKey


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def write_policy(folder: Path) -> Path:
    """Write a policy of 2 of 3 witnesses, and the keys of the witnesses; return its file."""
    urls = [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
    keys = [load_or_create(folder / f"w{n}.key") for n in range(3)]
    lines = [
        f"witness w{n} {WitnessKey(f'witness.test/w{n}', key.public_key().public_bytes_raw())} {url}\n"
        for n, (key, url) in enumerate(zip(keys, urls, strict=True))
    ]
    file = folder / "policy"
    file.write_text("".join(lines) + "group g 2 w0 w1 w2\nquorum g\n")
    return file


def serve_one(number: int, policy: Path, log: Path) -> AbstractContextManager[str]:
    """Serve a witness of `write_policy`, which has the same state each time; `log` has the log's keys."""
    url = re.findall(r"http\S+", policy.read_text())[number]
    state, key = (policy.with_name(f"w{number}.{kind}") for kind in ("db", "key"))
    return serve(f"witness.test/w{number}", key, state, log, url)


@contextmanager
def serve(name: str, key: Path, state: Path, log: Path, url: str) -> Generator[str]:
    """Serve a witness at a URL, on a thread; yield its verifier key."""
    if not state.exists():  # the key was made for the policy; a state and its key exist both or not at all
        kept = key.read_bytes()
        key.unlink()
        Witness(name, key, state, []).close()
        key.write_bytes(kept)
        key.chmod(0o600)
    opened = Witness(name, key, state, [load_trusted(log)])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = listen(
        "witness", url.removeprefix("http://"), witness_app(opened), LimitSettings(stop_timeout=1)
    )
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    try:
        yield opened.verifier_key
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        opened.close()


@contextmanager
def answering(url: str, status: int, kind: str, chunks: list[bytes]) -> Generator[None]:
    """Give every request at a URL the same answer, in chunks, as a broken witness would."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for chunk in (*filter(None, chunks), b""):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))

        def log_message(self, *_: object) -> None:
            pass

    host, _, port = url.removeprefix("http://").partition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_until(arrived: Callable[[], object]) -> None:
    """Poll until a background thread has done its work."""
    deadline = time.monotonic() + 60
    while not arrived():
        assert time.monotonic() < deadline, "nothing arrived within a minute"
        time.sleep(0.02)
