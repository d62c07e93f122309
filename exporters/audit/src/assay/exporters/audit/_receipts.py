"""`GET /v1/audit/receipts/{record_id}`: the receipt of a record that came through a Collector."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from assay.exporters.audit._errors import AuditLogError
from assay.exporters.audit._ids import find
from assay.exporters.audit._storage import open_read_only

_STORED = "SELECT id, integrity_hash, leaf FROM audit_log WHERE leaf_index = ?"
_QUARANTINED = "SELECT reason FROM quarantine WHERE record_id = ? ORDER BY leaf_index"


def stored_receipt(connection: sqlite3.Connection, record_id: str) -> Mapping[str, Any] | None:
    """Return the receipt of a stored record, None if the log does not contain the record.

    The timestamp, in ns since 1970, is a string: a JSON number cannot hold it exactly.
    """
    found = connection.execute(_STORED, (find(connection, record_id),)).fetchone()
    if found is None:
        return None
    stored_id, integrity_hash, leaf = found
    return {
        "record_id": stored_id,
        "integrity_hash": integrity_hash.hex(),
        "sink_timestamp": orjson.loads(leaf)["sinkTimeUnixNano"],
    }


def receipt_route(database: Path) -> Route:
    """Return the route for receipts.

    It answers 200 with the receipt, 404 for an unknown record, and 409 for a record in quarantine.
    """

    def answer(request: Request) -> JSONResponse:
        record_id: str = request.path_params["record_id"]
        try:
            connection = open_read_only(database)
            try:
                found = stored_receipt(connection, record_id)
                reasons = [row[0] for row in connection.execute(_QUARANTINED, (record_id,))]
            finally:
                connection.close()
        except (AuditLogError, sqlite3.Error):
            return JSONResponse({"error": "the log cannot be read now"}, 503, {"Retry-After": "1"})
        if found is not None:
            return JSONResponse(dict(found))
        if reasons:
            return JSONResponse({"error": "the record is in quarantine", "reason": reasons[0]}, 409)
        return JSONResponse({"error": "no such record"}, 404)

    return Route("/v1/audit/receipts/{record_id}", answer, methods=["GET"])
