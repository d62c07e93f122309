"""The log as a read-only tree of tiles over HTTP: `GET /v1/audit/log/<path>`, see `_tiles`."""

from __future__ import annotations

import sqlite3

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from assay.exporters.audit._errors import AuditLogError, NotFoundError, OpenError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._query import newest_checkpoint
from assay.exporters.audit._storage import open_read_only
from assay.exporters.audit._tiles import Tile, checkpoint_size, read_tile

PREFIX = "/v1/audit/log"
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}


def tiles_route(database: Location, *, witnessed: bool) -> Route:
    """Return the route of the checkpoint and the tiles.

    With `witnessed`, the checkpoint is the newest one that has its quorum of cosignatures. The
    route answers 404 for a tile that the tree does not have, and 503 if the log cannot be read now.
    """

    def answer(request: Request) -> Response:
        path: str = request.path_params["path"]
        try:
            note = newest_checkpoint(database, witnessed=witnessed)
            if path == "checkpoint":
                return PlainTextResponse(note, headers={"Cache-Control": "no-cache"})
            return Response(
                _read(database, Tile.parse(path), checkpoint_size(note)),
                media_type="application/octet-stream",
                headers=_IMMUTABLE,
            )
        except (OpenError, sqlite3.Error):
            return PlainTextResponse("the log cannot be read now\n", 503, {"Retry-After": "1"})
        except NotFoundError as error:
            return PlainTextResponse(f"{error}\n", 404)
        except AuditLogError as error:
            return PlainTextResponse(f"{error}\n", 500)

    return Route(f"{PREFIX}/{{path:path}}", answer, methods=["GET"])


def _read(database: Location, tile: Tile, size: int) -> bytes:
    connection = open_read_only(database)
    try:
        return read_tile(connection, tile, size)
    finally:
        connection.close()
