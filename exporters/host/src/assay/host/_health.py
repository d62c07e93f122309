"""The health endpoints, in the form that the Snakepit specification defines.

`/health` reports that the process runs, `/health/ready` whether it accepts batches, `/health/detailed` the
state of every exporter and listener.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from assay.host._intake import Intake
from assay.host._worker import Worker


def make_app(intake: Intake, addresses: Mapping[str, tuple[str, int]]) -> Starlette:
    """Return the application of the health listener."""
    started = time.monotonic()

    async def alive(_: Request) -> Response:
        return _response("ok", {})

    async def ready(_: Request) -> Response:
        checks = _checks(intake)
        return _response(_worst_status(checks), {"checks": checks})

    async def detailed(_: Request) -> Response:
        checks = _checks(intake)
        return _response(
            _worst_status(checks),
            {
                "checks": checks,
                "exporters": {name: _describe(worker) for name, worker in intake.workers.items()},
                "listeners": {name: f"{host}:{port}" for name, (host, port) in addresses.items()},
                "system": {
                    "uptime_seconds": round(time.monotonic() - started, 3),
                    "buffered_bytes": intake.admission.buffered,
                },
            },
        )

    endpoints = {"/health": alive, "/health/ready": ready, "/health/detailed": detailed}
    return Starlette(routes=[Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints.items()])


def _checks(intake: Intake) -> list[dict[str, str]]:
    status, message = ("error", "stopping") if intake.stopping else ("ok", "accepting")
    return [
        {"name": "host", "status": status, "message": message},
        *({"name": f"exporter {name}", **_state(worker)} for name, worker in intake.workers.items()),
    ]


def _state(worker: Worker) -> dict[str, str]:
    if not worker.alive:
        return {"status": "error", "message": "its thread has ended: restart the host"}
    if worker.depth >= worker.limits.batches:
        return {"status": "warning", "message": "its queue is full: senders must wait"}
    if worker.last_error:
        return {
            "status": "warning",
            "message": f"the last batch failed with {worker.last_error}: see the log",
        }
    if problem := worker.problem():
        return {"status": "warning", "message": problem}
    return {"status": "ok", "message": f"{worker.depth} batches waiting"}


def _describe(worker: Worker) -> dict[str, Any]:
    return {
        **_state(worker),
        "signals": sorted(worker.signals),
        "queue_size": worker.depth,
        "queue_limit": worker.limits.batches,
    }


def _worst_status(checks: list[dict[str, str]]) -> str:
    statuses = {check["status"] for check in checks}
    return next((status for status in ("error", "warning") if status in statuses), "ok")


def _response(status: str, content: Mapping[str, Any]) -> Response:
    timestamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = orjson.dumps({"status": status, "timestamp": timestamp, **content})
    return Response(body, 503 if status == "error" else 200, media_type="application/json")
