"""The health of this process's pools: `/health`, `/health/ready`, `/health/detailed`.

```python
from opentelemetry.instrumentation.snakepit.health import Criteria, HealthCheck, asgi_app, serve, wsgi_app

health = HealthCheck(Criteria(max_queue_size=500))
app = asgi_app(health)  # or wsgi_app(health), or: serve(health, port=8081)
```
"""

from __future__ import annotations

import json
import threading
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from socketserver import ThreadingMixIn
from typing import Any, Literal, NamedTuple, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from opentelemetry.instrumentation.snakepit._pools import POOLS, Counts, Outcomes
from opentelemetry.instrumentation.snakepit._process import memory_mb, open_files, uptime_seconds

from assay.instrumentation import Foreign

Status: TypeAlias = Literal["ok", "warning", "error"]

_SEVERITY: tuple[Status, ...] = ("ok", "warning", "error")


@dataclass(frozen=True, slots=True)
class Criteria:
    """The limits of the checks. At its warning limit a check is `warning`, at the other one `error`.

    Args:
        min_available_share: Share of available workers below which there is a warning.
        warning_error_rate: Share of failed requests.
        max_error_rate: Share of failed requests.
        warning_queue_size: Requests that wait in one pool.
        max_queue_size: Requests that wait in one pool.
    """

    min_available_share: float = 0.1
    warning_error_rate: float = 0.05
    max_error_rate: float = 0.5
    warning_queue_size: int = 100
    max_queue_size: int = 1000


class Verdict(NamedTuple):
    """The answer of a check: `ok`, or `error` with its reasons."""

    status: Literal["ok", "error"]
    reasons: tuple[str, ...] = ()


class _Check(NamedTuple):
    """One row of the detailed report."""

    name: str
    status: Status
    message: str


class HealthCheck:
    """Checks the pools of this process.

    Args:
        criteria: The limits.
    """

    def __init__(self, criteria: Criteria | None = None) -> None:
        self._criteria = criteria or Criteria()

    def check_health(self) -> Verdict:
        """Return whether the process is alive: it is if it can answer."""
        return Verdict("ok")

    def check_readiness(self) -> Verdict:
        """Return whether the pools can take requests: `error` if one of the checks is."""
        failed = tuple(check.message for check in self._checks(POOLS.counts()) if check.status == "error")
        return Verdict("error", failed) if failed else Verdict("ok")

    def get_detailed_health(self) -> dict[str, Any]:
        """Return the full report: pools, system and checks."""
        counts = POOLS.counts()
        checks = self._checks(counts)
        return {
            "status": max((check.status for check in checks), key=_SEVERITY.index, default="ok"),
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "pools": {name: _describe(each, _outcomes(name)) for name, each in counts.items()},
            "system": {
                "memory_mb": memory_mb(),
                "process_count": 1 + POOLS.process_count(),
                "port_count": open_files(),
                "uptime_seconds": uptime_seconds(),
            },
            "checks": [check._asdict() for check in checks],
        }

    def _checks(self, counts: dict[str, Counts]) -> list[_Check]:
        return [
            check
            for name, each in counts.items()
            for check in (self._availability(name, each), self._error_rate(name), self._queue(name, each))
        ]

    def _availability(self, name: str, counts: Counts) -> _Check:
        total, available = counts.total_workers, counts.available_workers
        status: Status = "ok"
        if total == 0:
            status = "error"
        elif available < total * self._criteria.min_available_share:
            status = "warning"
        return _Check("worker_availability", status, f"{name}: {available}/{total} workers available")

    def _error_rate(self, name: str) -> _Check:
        criteria, rate = self._criteria, _outcomes(name).error_rate()
        status = _judge(rate, criteria.warning_error_rate, criteria.max_error_rate)
        return _Check("error_rate", status, f"{name}: error rate {rate:.1%}")

    def _queue(self, name: str, counts: Counts) -> _Check:
        criteria, size = self._criteria, counts.queue_size
        status = _judge(size, criteria.warning_queue_size, criteria.max_queue_size)
        return _Check("queue_depth", status, f"{name}: {size} requests wait")


Application: TypeAlias = Callable[[Foreign, Foreign, Foreign], Awaitable[None]]


def asgi_app(health: HealthCheck) -> Application:
    """Return an ASGI application that answers the three paths, to be mounted at the root."""

    async def application(scope: Foreign, _receive: Foreign, send: Foreign) -> None:
        if scope["type"] != "http":
            return
        code, body = _answer(health, scope["path"])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def wsgi_app(health: HealthCheck) -> Callable[[Foreign, Foreign], Iterable[bytes]]:
    """Return a WSGI application that answers the three paths, to be mounted at the root."""

    def application(environ: Foreign, start_response: Foreign) -> Iterable[bytes]:
        code, body = _answer(health, environ.get("PATH_INFO", ""))
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(_LINES[code], headers)
        return [body]

    return application


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = 10  # seconds for a request; a client that sends nothing must not hold a thread

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing: orchestrators ask every few seconds."""


def serve(health: HealthCheck, *, host: str = "127.0.0.1", port: int = 0) -> WSGIServer:
    """Answer the three paths on a port of its own, in a daemon thread.

    Args:
        health: The checks.
        host: Address to listen on. The report names pools and sizes: keep it from the public.
        port: The port; 0 is a free one.

    Returns:
        The server: its address is `server_address`; `shutdown()` and `server_close()` end it.
    """
    server = make_server(host, port, wsgi_app(health), server_class=_Server, handler_class=_Handler)
    threading.Thread(target=server.serve_forever, name="snakepit-health", daemon=True).start()
    return server


_LINES = {200: "200 OK", 404: "404 Not Found", 503: "503 Service Unavailable"}


def _answer(health: HealthCheck, path: str) -> tuple[int, bytes]:
    """Return the status code and the JSON body of a path."""
    if path == "/health/detailed":
        report = health.get_detailed_health()
        return 503 if report["status"] == "error" else 200, json.dumps(report).encode()
    if path not in {"/health", "/health/ready"}:
        return 404, b'{"status": "error", "reasons": ["unknown path"]}'
    verdict = health.check_health() if path == "/health" else health.check_readiness()
    return 200 if verdict.status == "ok" else 503, json.dumps(verdict._asdict()).encode()


def _describe(counts: Counts, outcomes: Outcomes) -> dict[str, Any]:
    return {
        **counts._asdict(),
        "error_rate": round(outcomes.error_rate(), 4),
        "avg_response_time_ms": round(outcomes.average_ms(), 3),
    }


def _outcomes(name: str) -> Outcomes:
    return POOLS.outcomes.get(name) or Outcomes()


def _judge(value: float, warning: float, error: float) -> Status:
    if value >= error:
        return "error"
    return "warning" if value >= warning else "ok"
