"""Receipts of records that came through a Collector: of one record, and of many at once.

- `GET /v1/audit/receipts/{record_id}`
- `POST /v1/audit/receipts` with `{"record_ids": […]}`

A producer forgets a record that has a receipt, so an answer waits until the log is on disk as far as it was
read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any, cast

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from assay.exporters.audit._archives import archived_in
from assay.exporters.audit._entry import Row, without_nul
from assay.exporters.audit._errors import AuditLogError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._schema import COLUMNS
from assay.exporters.audit._storage import Reader, open_read_only

_STORED = "SELECT integrity_hash, leaf FROM audit_log WHERE leaf_index = ?"
_ARCHIVED = "SELECT content_hash, sink_time_unix_nano FROM archived WHERE leaf_index = ?"
MOST_IDS = 1000
"""Records that one request may ask for."""
_LONGEST_BODY = 1 << 20
_QUARANTINED = "SELECT reason FROM quarantine WHERE record_id = ? ORDER BY leaf_index"


def new_receipt(row: Row, sink_time: int) -> Mapping[str, Any]:
    """Return the receipt of a record that was just stored.

    Args:
        row: Its row, without the index.
        sink_time: When the sink received it, in ns since 1970.
    """
    return {
        "record_id": row[0],
        "integrity_hash": row[len(COLUMNS)].hex(),
        "sink_timestamp": str(sink_time),
    }


def stored_receipt(connection: Reader, record_id: str) -> Mapping[str, Any] | None:
    """Return the receipt of a stored record, None if the log does not contain the record.

    The timestamp, in ns since 1970, is a string: a JSON number cannot hold it exactly.
    """
    index = connection.leaf_of(record_id)
    if (stored := connection.execute(_STORED, (index,)).fetchone()) is not None:
        integrity_hash, sink_time = stored[0], orjson.loads(stored[1])["sinkTimeUnixNano"]
    elif (archived := connection.execute(_ARCHIVED, (index,)).fetchone()) is not None:
        integrity_hash, sink_time = archived[0], str(archived[1])
    else:
        return None
    return {"record_id": record_id, "integrity_hash": integrity_hash.hex(), "sink_timestamp": sink_time}


def receipt_route(database: Location) -> Route:
    """Return the route for receipts.

    It answers 200 with the receipt, 404 for an unknown record, and 409 for a record in quarantine.
    """

    def answer(request: Request) -> JSONResponse:
        record_id: str = request.path_params["record_id"]
        try:
            connection = open_read_only(database)
            try:
                found = stored_receipt(connection, record_id)
                reason = _quarantined(connection, record_id)
                connection.flush()
            finally:
                connection.close()
        except (AuditLogError, sqlite3.Error):
            return _unavailable()
        if found is not None:
            return JSONResponse(dict(found))
        if reason is not None:
            return JSONResponse({"error": "the record is in quarantine", "reason": reason}, 409)
        return JSONResponse({"error": "no such record"}, 404)

    return Route("/v1/audit/receipts/{record_id}", answer, methods=["GET"])


def receipts_route(database: Location) -> Route:
    """Return the route for receipts of many records.

    It answers 200 with `receipts` and `quarantined`, each in the order of the request. A record that is in
    neither is not in the log. A request with more than `MOST_IDS` ids, or without, is answered with 400.
    """

    async def answer(request: Request) -> JSONResponse:
        record_ids = _record_ids(await _body(request))
        if record_ids is None:
            expected = f"send JSON with record_ids, a list of at most {MOST_IDS} strings"
            return JSONResponse({"error": expected}, 400)
        try:
            return JSONResponse(await run_in_threadpool(_find, database, record_ids))
        except (AuditLogError, sqlite3.Error):
            return _unavailable()

    return Route("/v1/audit/receipts", answer, methods=["POST"])


async def _body(request: Request) -> bytes:
    """Return the body, or nothing if it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            return b""
    return bytes(body)


def _record_ids(body: bytes) -> list[str] | None:
    try:
        record_ids: Any = orjson.loads(body)["record_ids"]
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return None
    if not isinstance(record_ids, list) or len(cast("list[Any]", record_ids)) > MOST_IDS:
        return None
    texts = [one for one in cast("list[Any]", record_ids) if isinstance(one, str)]
    return texts if len(texts) == len(cast("list[Any]", record_ids)) else None


def _find(database: Location, record_ids: list[str]) -> dict[str, list[Mapping[str, Any]]]:
    stored: list[Mapping[str, Any]] = []
    quarantined: list[Mapping[str, Any]] = []
    connection = open_read_only(database)
    try:
        for record_id in record_ids:
            found = stored_receipt(connection, record_id)
            if found is not None:
                stored.append(found)
            elif (reason := _quarantined(connection, record_id)) is not None:
                quarantined.append({"record_id": record_id, "reason": reason})
        connection.flush()
    finally:
        connection.close()
    return {"receipts": stored, "quarantined": quarantined}


def _quarantined(connection: Reader, record_id: str) -> str | None:
    """Return why a record is in quarantine, None if it is not."""
    record_id = without_nul(record_id)
    found = connection.execute(_QUARANTINED, (record_id,)).fetchone()
    if found is not None:
        return found[0]
    name = archived_in(connection, record_id)
    return None if name is None else f"its reason is archived, in {name}"


def _unavailable() -> JSONResponse:
    return JSONResponse({"error": "the log cannot be read now"}, 503, {"Retry-After": "1"})
