"""The HTTP interface of a witness: `POST /add-checkpoint`, see `_witness`."""

from __future__ import annotations

import logging
import sqlite3

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from assay.exporters.audit._witness import OutdatedError, RefusedError, Witness

logger = logging.getLogger(__name__)

_BODY_BYTES = 64 << 10  # 63 hashes are 3 KiB, 100 signatures about 15 KiB


def witness_app(witness: Witness) -> Starlette:
    """Return the application of a witness, with the submission prefix `/`."""

    async def add_checkpoint(request: Request) -> Response:
        body = await _body(request)
        if body is None:
            return PlainTextResponse(f"the request is longer than {_BODY_BYTES} bytes\n", 413)
        return await run_in_threadpool(_answer, witness, body)

    return Starlette(routes=[Route("/add-checkpoint", add_checkpoint, methods=["POST"])])


async def _body(request: Request) -> bytes | None:
    """Return the body, None if it is too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            return None
    return bytes(body)


def _answer(witness: Witness, body: bytes) -> Response:
    try:
        return PlainTextResponse(witness.add_checkpoint(body))
    except OutdatedError as error:
        # Not `media_type`, to which Starlette appends a charset.
        return Response(f"{error.size}\n", error.status, {"Content-Type": "text/x.tlog.size"})
    except RefusedError as error:
        return PlainTextResponse(f"{error}\n", error.status)
    except sqlite3.Error as error:
        logger.error("the state of the witness cannot be written: %s", error)  # noqa: TRY400  its text says all
        return PlainTextResponse(
            "the state of the witness cannot be written now\n", 503, {"Retry-After": "1"}
        )
