"""Shared by the tests: the official schemas, OTLP requests, and a receiver whose answers a test controls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from referencing import Registry, Resource

from assay.host import Batch

GO_SDK = Path(__file__).with_name("go_sdk")
SHARED = Path(__file__).parents[4] / "shared" / "cdevents" / "v0.5.1"
TIME = 1_790_000_000_123_456_789
TRACE = bytes(range(1, 17))
SPAN = bytes(range(1, 9))


def _format_checker() -> FormatChecker:
    """Return the schemas' formats, without the line end that the `$` of their expressions accepts."""
    checker = FormatChecker(formats=())
    for name, (check, raises) in Draft202012Validator.FORMAT_CHECKER.checkers.items():

        def without_line_end(value: object, check: Any = check) -> bool:
            return check(value) and not (isinstance(value, str) and value.endswith("\n"))

        checker.checks(name, raises)(without_line_end)
    return checker


class Official:
    """The official schemas and conformance events."""

    def __init__(self, folder: Path) -> None:
        schemas = [json.loads(path.read_text()) for path in sorted(folder.glob("schemas/**/*.json"))]
        registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in schemas)
        self.types = {
            schema["properties"]["context"]["properties"]["type"]["enum"][0]: schema
            for schema in schemas
            if "context" in schema.get("properties", {})
        }
        self._validators = {
            name: Draft202012Validator(schema, registry=registry, format_checker=_format_checker())
            for name, schema in self.types.items()
        }
        self._custom = Draft202012Validator(
            json.loads((folder / "custom" / "schema.json").read_text()),
            registry=registry,
            format_checker=_format_checker(),
        )
        self.events = [
            json.loads(path.read_text())
            for path in (*sorted(folder.glob("conformance/*.json")), folder / "custom" / "conformance.json")
        ]

    def accepts(self, document: dict[str, Any]) -> bool:
        """Return whether the schema of the document's type accepts it."""
        event_type = document["context"]["type"]
        validator = (
            self._custom if event_type.startswith("dev.cdeventsx.") else self._validators.get(event_type)
        )
        return validator is not None and validator.is_valid(document)


@cache
def _official() -> Official:
    return Official(SHARED)


@pytest.fixture(scope="session")
def official() -> Official:
    if not SHARED.is_dir():
        missing = f"{SHARED}: the official schemas are not beside this clone"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return _official()


def key_value(key: str, value: Any) -> KeyValue:
    if isinstance(value, bool):
        return KeyValue(key=key, value=AnyValue(bool_value=value))
    if isinstance(value, int):
        return KeyValue(key=key, value=AnyValue(int_value=value))
    if isinstance(value, float):
        return KeyValue(key=key, value=AnyValue(double_value=value))
    return KeyValue(key=key, value=AnyValue(string_value=value))


def logs(*events: tuple[str, dict[str, Any]], at: int = TIME, span: bytes = SPAN) -> Batch:
    """Return a batch of log events, a microsecond apart."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.append(key_value("service.name", "orders"))
    scope = resource.scope_logs.add()
    for number, (name, attributes) in enumerate(events):
        log = scope.log_records.add(event_name=name, time_unix_nano=at + number * 1000, flags=1)
        if span:
            log.trace_id, log.span_id = TRACE, span
        log.attributes.extend(key_value(key, value) for key, value in attributes.items())
    return batch("logs", request)


def spans(name: str, attributes: dict[str, Any], *, start: int = TIME) -> Batch:
    """Return a batch of one span of a second."""
    request = ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.append(key_value("service.name", "orders"))
    span = resource.scope_spans.add().spans.add(
        name=name,
        trace_id=TRACE,
        span_id=SPAN,
        start_time_unix_nano=start,
        end_time_unix_nano=start + 1_000_000_000,
        flags=0x101,
    )
    span.attributes.extend(key_value(key, value) for key, value in attributes.items())
    return batch("traces", request)


def batch(signal: Any, request: Any) -> Batch:
    return Batch(
        signal=signal,
        request=request,
        payload=request.SerializeToString(),
        encoding="protobuf",
        peer="collector",
        received_unix_nano=TIME,
    )


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the events of a file sink."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def eventually(condition: Callable[[], bool], within: float = 20.0) -> None:
    """Wait until a condition is true."""
    end = time.monotonic() + within
    while not condition():
        assert time.monotonic() < end, "the condition never became true"
        time.sleep(0.005)


class Endpoint:
    """An HTTP receiver. `answer` returns (status, headers), or None to hang until `close`.

    Stores every request as (headers, body): all in `requests`, those answered with success in `accepted`.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.accepted: list[tuple[dict[str, str], bytes]] = []
        self.answer: Callable[[bytes], tuple[int, dict[str, str]] | None] = lambda _: (204, {})
        self.closed = threading.Event()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed while it sent the body
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                endpoint.requests.append((headers, body))
                answer = endpoint.answer(body)
                if answer is None:
                    endpoint.closed.wait()
                    self.close_connection = True
                    return
                status, extra = answer
                if status < 300:
                    endpoint.accepted.append((headers, body))
                self.send_response(status)
                for name, value in extra.items():
                    self.send_header(name, value)
                body = b"" if status == 204 else b"because"
                if body:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/events"

    def bodies(self) -> list[dict[str, Any]]:
        """Return the accepted bodies as JSON values."""
        return [json.loads(body) for _, body in self.accepted]

    def close(self) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    receiver = Endpoint()
    yield receiver
    receiver.close()


@pytest.fixture(scope="session")
def refusal(tmp_path_factory):
    """Build the program that reads an event with the Go SDK; return a function that runs it.

    The function returns why the SDK refuses an event, or an empty text.
    """
    if shutil.which("go") is None:
        reason = "there is no Go compiler"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(f"ASSAY_REQUIRE_SERVICES=1, and {reason}")
        pytest.skip(reason)
    program = tmp_path_factory.mktemp("go") / "cdevents"
    subprocess.run(["go", "build", "-mod=readonly", "-o", program, "."], cwd=GO_SDK, check=True)

    def run(document: dict) -> str:
        done = subprocess.run(
            [program], input=json.dumps(document), capture_output=True, text=True, check=False, timeout=60
        )
        assert bool(done.returncode) == bool(done.stderr)
        return done.stderr

    return run
