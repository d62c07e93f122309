"""OTLP over HTTP: protobuf and JSON, gzip (OTLP 1.9, "OTLP/HTTP")."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, get_args

import orjson
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.host.authentication import Authentication, Sender
from assay.host.config import nearest
from assay.host.decoding import Received, too_long
from assay.host.exporter import Encoding, Signal
from assay.host.intake import Intake, Origin, Slot
from assay.host.refusal import Refusal, unexpected
from assay.host.settings import LimitSettings, ListenerSettings

logger = logging.getLogger(__name__)

PATHS: dict[str, Signal] = {f"/v1/{signal}": signal for signal in get_args(Signal)}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def make_app(listener: ListenerSettings, intake: Intake, routes: Sequence[BaseRoute]) -> ASGIApp:
    """The application of one listener: OTLP's paths, and the exporters' own."""
    origin = Origin(listener.name, listener.peer)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  what it is registered for
        if error.status_code == 404:  # noqa: PLR2004  Not Found
            refusal = Refusal(404, f"no such path; {nearest(request.url.path, list(PATHS))}")
            return await _refuse(request, refusal, intake, origin)
        if error.status_code == 405:  # noqa: PLR2004  Method Not Allowed
            allowed = (error.headers or {}).get("Allow", "POST")
            refusal = Refusal(405, f"{request.method[:20]} is not for this path: {allowed} is")
            response = await _refuse(request, refusal, intake, origin)
            response.headers["allow"] = allowed  # RFC 9110 section 15.5.6
            return response
        return Response(error.detail, error.status_code, error.headers)  # of an exporter's route

    app = Starlette(
        routes=[
            *(
                Route(path, _endpoint(signal, intake, origin), methods=["POST"])
                for path, signal in PATHS.items()
            ),
            *routes,
        ],
        exception_handlers={HTTPException: unknown},
    )
    app.router.redirect_slashes = False
    return _Authenticated(app, Authentication(listener.auth), intake, origin)


class _Authenticated:
    """Asks everybody who they are, whatever the path."""

    def __init__(self, app: ASGIApp, authentication: Authentication, intake: Intake, origin: Origin) -> None:
        self._app = app
        self._authentication = authentication
        self._intake = intake
        self._origin = origin

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})

        async def receive_to_the_end() -> Message:
            message = await receive()
            state["ended"] = not message.get("more_body")  # its end, or the client has gone
            return message

        request = Request(scope, receive_to_the_end)
        try:
            request.state.sender = self._authentication.check(request.headers.get("authorization"))
        except Refusal as refusal:
            response = await _refuse(request, refusal, self._intake, self._origin)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive_to_the_end, send)


def _endpoint(signal: Signal, intake: Intake, origin: Origin) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await _take(request, signal, intake, origin)
        except Refusal as refusal:
            return await _refuse(request, refusal, intake, origin, signal)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:
            logger.exception("listener %s: a request failed", origin.listener)
            return await _refuse(request, unexpected(error), intake, origin, signal)

    return endpoint


async def _take(request: Request, signal: Signal, intake: Intake, origin: Origin) -> Response:
    sender: Sender = request.state.sender
    sender.check(signal)
    encoding = _encoding(request.headers.get("content-type"))
    gzip = _is_gzip(request.headers.get("content-encoding"))
    workers = intake.route(signal, request.headers.get("assay-exporter"))
    with intake.admit() as slot:
        body = await _read(request, slot, intake.limits)
        batch = await intake.decode(Received(signal, body, encoding, gzip), origin, slot)
    receipts = await intake.deliver(batch, workers, origin)
    if not _wants_json(request):
        return Response(b"", media_type=PROTOBUF)  # an empty Export…ServiceResponse: everything was accepted
    return Response(orjson.dumps({"receipts": receipts} if receipts else {}), media_type=JSON)


async def _read(request: Request, slot: Slot, limits: LimitSettings) -> bytes:
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limits.body_bytes:
        raise Refusal(413, too_long(limits.body_bytes, "as sent"))

    async def read() -> bytes:
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limits.body_bytes:
                raise Refusal(413, too_long(limits.body_bytes, "as sent"))
            slot.grow(len(part))
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), limits.read_timeout)
    except asyncio.TimeoutError:
        problem = f"the body did not come within {limits.read_timeout:g} s: send it faster"
        raise Refusal(408, problem) from None


async def _refuse(
    request: Request, refusal: Refusal, intake: Intake, origin: Origin, signal: Signal | None = None
) -> Response:
    """Answer an error, in the encoding of the request."""
    if request.method == "POST":
        if refusal.status != 408:  # noqa: PLR2004  it has had its time
            await _drain(request, intake.limits)
        refusal = origin.told(refusal, signal or PATHS.get(request.url.path))
    status = refusal.proto()
    if _wants_json(request) or not _is_protobuf(request):
        body = orjson.dumps(MessageToDict(status))
        return Response(body, refusal.status, refusal.headers, media_type=JSON)
    return Response(status.SerializeToString(), refusal.status, refusal.headers, media_type=PROTOBUF)


async def _drain(request: Request, limits: LimitSettings) -> None:
    """Read what is left of a refused body and throw it away.

    A client that is still sending when the connection closes sees a broken connection instead of the
    answer. At most one body's length is read, in at most the time that a body has.
    """
    end = time.monotonic() + limits.read_timeout
    left = limits.body_bytes
    try:
        while left > 0 and not request.scope["state"].get("ended"):
            message = await asyncio.wait_for(request.receive(), max(0.0, end - time.monotonic()))
            left -= len(message.get("body", b""))
    except asyncio.TimeoutError:
        return


def _encoding(content_type: str | None) -> Encoding:
    media = _media_type(content_type)
    if media == PROTOBUF:
        return "protobuf"
    if media == JSON:
        return "json"
    raise Refusal(415, f"Content-Type is {media[:100]!r}: send {PROTOBUF} or {JSON}")


def _is_gzip(content_encoding: str | None) -> bool:
    coding = (content_encoding or "identity").strip().lower()
    if coding not in {"gzip", "identity"}:
        raise Refusal(415, f"Content-Encoding is {coding[:100]!r}: send gzip or none")
    return coding == "gzip"


def _wants_json(request: Request) -> bool:
    return (
        _media_type(request.headers.get("content-type")) == JSON
        or JSON in request.headers.get("accept", "").lower()
    )


def _is_protobuf(request: Request) -> bool:
    return _media_type(request.headers.get("content-type")) == PROTOBUF


def _media_type(header: str | None) -> str:
    return (header or "").partition(";")[0].strip().lower()
