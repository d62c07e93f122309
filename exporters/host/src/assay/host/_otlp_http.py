"""OTLP over HTTP: protobuf and JSON, with or without gzip (OTLP 1.9, "OTLP/HTTP")."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from copy import copy
from typing import Any, NamedTuple, get_args

import orjson
from google.protobuf.json_format import MessageToDict
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assay.host._admission import Reservation
from assay.host._authentication import Authentication, Sender
from assay.host._config import nearest
from assay.host._connections import Connections, Peer
from assay.host._decoding import RequestBody, too_long
from assay.host._intake import Intake, Origin
from assay.host._refusal import Refusal, unexpected
from assay.host._settings import LimitSettings, ListenerSettings
from assay.host.exporter import Encoding, Signal

logger = logging.getLogger(__name__)

PATHS: dict[str, Signal] = {f"/v1/{signal}": signal for signal in get_args(Signal)}
PROTOBUF = "application/x-protobuf"
JSON = "application/json"


def make_app(
    listener: ListenerSettings, intake: Intake, routes: Sequence[ExporterRoute], connections: Connections
) -> ASGIApp:
    """Return the application of one listener: OTLP's paths, and the exporters' routes."""
    origin = Origin(listener.name, listener.peer)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101  the type that it is registered for
        if error.status_code == 404:  # noqa: PLR2004  Not Found
            refusal = Refusal(404, f"unknown path; {nearest(request.url.path[:100], list(PATHS))}")
            return await _refuse(request, refusal, intake, origin)
        if error.status_code == 405:  # noqa: PLR2004  Method Not Allowed
            allowed = (error.headers or {}).get("Allow", "POST")
            refusal = Refusal(405, f"the method {request.method[:20]} is not allowed: use {allowed}")
            response = await _refuse(request, refusal, intake, origin)
            response.headers["allow"] = allowed  # RFC 9110 section 15.5.6
            return response
        return Response(error.detail, error.status_code, error.headers)  # raised by an exporter's route

    app = Starlette(
        routes=[
            *(
                Route(path, _endpoint(signal, intake, origin), methods=["POST"])
                for path, signal in PATHS.items()
            ),
            *(_guarded(route, intake, origin) for route in routes),
        ],
        exception_handlers={HTTPException: http_error},
    )
    app.router.redirect_slashes = False
    return _Authenticated(app, Authentication(listener.auth), intake, origin, connections)


class ExporterRoute(NamedTuple):
    """A route of an exporter, and the signals that the exporter accepts."""

    route: BaseRoute
    signals: frozenset[Signal]


def _guarded(route: ExporterRoute, intake: Intake, origin: Origin) -> BaseRoute:
    """Return an exporter's route for senders that may send one of the exporter's signals."""
    serve = route.route.handle

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            request.state.sender.require_any(route.signals)
        except Refusal as refusal:
            response = await _refuse(request, refusal, intake, origin)
            await response(scope, receive, send)
        else:
            await serve(scope, receive, send)

    guarded = copy(route.route)
    guarded.handle = handle
    return guarded


class _Authenticated:
    """Authenticates every request, whatever its path, and counts its connection for its sender."""

    def __init__(
        self,
        app: ASGIApp,
        authentication: Authentication,
        intake: Intake,
        origin: Origin,
        connections: Connections,
    ) -> None:
        self._app = app
        self._authentication = authentication
        self._intake = intake
        self._origin = origin
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        state: dict[str, Any] = scope.setdefault("state", {})

        async def receive_and_note_end() -> Message:
            message = await receive()
            state["ended"] = not message.get("more_body")  # the end of the body, or the client disconnected
            return message

        request = Request(scope, receive_and_note_end)
        try:
            sender = self._authentication.authenticate(request.headers.get("authorization"))
            if request.client is not None:
                peer = Peer.parse(*request.client)
                self._connections.authenticated(peer, sender.name or peer.machine)
            request.state.sender = sender
        except Refusal as refusal:
            response = await _refuse(request, refusal, self._intake, self._origin)
            await response(scope, receive, send)
        else:
            await self._app(scope, receive_and_note_end, send)


def _endpoint(signal: Signal, intake: Intake, origin: Origin) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await _export(request, signal, intake, origin)
        except Refusal as refusal:
            return await _refuse(request, refusal, intake, origin, signal)
        except ClientDisconnect:
            return Response(status_code=400)  # the client has disconnected and reads no response
        except Exception as error:
            logger.exception("listener %s: a request failed", origin.listener)
            return await _refuse(request, unexpected(error), intake, origin, signal)

    return endpoint


async def _export(request: Request, signal: Signal, intake: Intake, origin: Origin) -> Response:
    sender: Sender = request.state.sender
    sender.require(signal)
    encoding = _encoding(request.headers.get("content-type"))
    gzip = _is_gzip(request.headers.get("content-encoding"))
    workers = intake.route(signal, request.headers.get("assay-exporter"))
    with intake.admit(signal, origin, sender.name or _client(request)) as reservation:
        data = await _read(request, reservation, intake.limits)
        batch = await intake.decode(RequestBody(signal, data, encoding, gzip), origin, reservation)
    receipts = await intake.deliver(batch, workers, origin)
    if not _wants_json(request):
        return Response(b"", media_type=PROTOBUF)  # an empty Export…ServiceResponse: everything was accepted
    return Response(orjson.dumps({"receipts": receipts} if receipts else {}), media_type=JSON)


def _client(request: Request) -> str:
    return request.client.host if request.client is not None else ""


async def _read(request: Request, reservation: Reservation, limits: LimitSettings) -> bytes:
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
            reservation.grow(len(part))
            parts.append(part)
        return b"".join(parts)

    try:
        return await asyncio.wait_for(read(), limits.read_timeout)
    except asyncio.TimeoutError:
        problem = f"the body did not arrive within {limits.read_timeout:g} s: send it faster"
        raise Refusal(408, problem) from None


async def _refuse(
    request: Request, refusal: Refusal, intake: Intake, origin: Origin, signal: Signal | None = None
) -> Response:
    """Return an error response in the encoding of the request."""
    if request.method == "POST":
        if refusal.status != 408:  # noqa: PLR2004  Request Timeout: the body already had its time
            await _drain(request, intake.limits)
        refusal = origin.refusal_for_peer(refusal, signal or PATHS.get(request.url.path))
    status = refusal.proto()
    if _wants_json(request) or not _is_protobuf(request):
        body = orjson.dumps(MessageToDict(status))
        return Response(body, refusal.status, refusal.headers, media_type=JSON)
    return Response(status.SerializeToString(), refusal.status, refusal.headers, media_type=PROTOBUF)


async def _drain(request: Request, limits: LimitSettings) -> None:
    """Read and discard the rest of a refused body.

    A client that is still sending when the connection closes reports a broken connection instead of the
    response. This function reads at most `body_bytes`, for at most `read_timeout`.
    """
    deadline = time.monotonic() + limits.read_timeout
    remaining = limits.body_bytes
    try:
        while remaining > 0 and not request.scope["state"].get("ended"):
            message = await asyncio.wait_for(request.receive(), max(0.0, deadline - time.monotonic()))
            remaining -= len(message.get("body", b""))
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
