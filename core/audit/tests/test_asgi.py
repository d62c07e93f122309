"""Requests of a Starlette application: actor, client address and user agent of their records."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from opentelemetry import baggage, context
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route

from assay.audit import (
    Actor,
    AuditRecord,
    RecordError,
    actor,
    audited,
    current_actor,
    current_client,
    get_logger,
)
from assay.audit.asgi import AuditMiddleware

REFUND = AuditRecord(event_name="order.refund", action="REFUND", outcome="success")


class Names(AuthenticationBackend):
    """Authenticates by a name in a header."""

    async def authenticate(self, conn):
        name = conn.headers.get("x-name")
        return (AuthCredentials(), SimpleUser(name)) if name else None


@audited("order.refund", action="REFUND", fail_closed=True)
async def refund(request):
    return PlainTextResponse("refunded")


@audited("order.refund", action="REFUND", fail_closed=True)
def refund_in_thread(request):
    return PlainTextResponse("refunded")


async def stream(request):
    async def parts():
        await asyncio.wrap_future(get_logger("tests").emit_async(REFUND).accepted)
        yield b"refunded"

    return StreamingResponse(parts())


async def on_behalf(request):
    with actor(id="scheduler", type="service"):
        return await refund(request)


def application(*, authentication=True, **settings):
    routes = [
        Route("/refund", refund),
        Route("/thread", refund_in_thread),
        Route("/stream", stream),
        Route("/on-behalf", on_behalf),
    ]
    middleware = [Middleware(AuditMiddleware, **settings)]
    if authentication:
        middleware.append(Middleware(AuthenticationMiddleware, backend=Names()))
    return Starlette(routes=[*routes, Mount("/mounted", routes=routes)], middleware=middleware)


def get(app, path="/refund", client=("192.0.2.7", 4711), **headers):
    async def send():
        transport = httpx.ASGITransport(app, client=client)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            response = await http.get(path, headers=named)
        assert response.text == "refunded"
        assert current_client() == ("", "")

    asyncio.run(send())


@pytest.mark.parametrize("path", ["/refund", "/thread", "/stream", "/mounted/refund"])
def test_record_has_the_user_the_address_and_the_user_agent(path, app_log):
    get(application(), path, x_name="alice", user_agent="till/1.0")
    expected = {
        "audit.actor.id": "alice",
        "audit.actor.type": "user",
        "audit.source.id": "192.0.2.7",
        "audit.source.type": "ipv4",
        "user_agent.original": "till/1.0",
    }
    record = app_log.record()
    assert {key: record.get(key) for key in expected} == expected


def test_user_may_be_authenticated_outside_the_middleware(app_log):
    app = AuthenticationMiddleware(application(authentication=False), backend=Names())
    get(app, x_name="alice")
    assert app_log.record()["audit.actor.id"] == "alice"


def test_request_without_a_user_is_anonymous_whatever_its_baggage_states(app_log):
    token = context.attach(baggage.set_baggage("audit.actor.id", "root"))
    try:
        get(application())
    finally:
        context.detach(token)
    record = app_log.record()
    assert (record["audit.actor.id"], record["audit.actor.type"]) == ("anonymous", "user")


def test_application_that_does_not_set_the_user_is_an_error(app_log):
    with pytest.raises(RecordError, match="actor"):
        get(application(authentication=False))
    assert app_log.records() == []


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("bea", ("bea", "user")),
        (Actor("ci", "service"), ("ci", "service")),
        (None, ("anonymous", "user")),
    ],
)
def test_function_determines_the_actor(found, expected, app_log):
    get(application(authentication=False, actor=lambda scope: found))
    record = app_log.record()
    assert (record["audit.actor.id"], record["audit.actor.type"]) == expected


@pytest.mark.parametrize("found", ["", Actor("", "user"), Actor("x", "robot")])
def test_invalid_actor_is_an_error(found, app_log):
    with pytest.raises(RecordError, match="actor"):
        get(application(authentication=False, actor=lambda scope: found))


def test_inner_actor_takes_precedence(app_log):
    get(application(), "/on-behalf", x_name="alice")
    record = app_log.record()
    assert (record["audit.actor.id"], record["audit.actor.type"]) == ("scheduler", "service")
    assert record["audit.source.id"] == "192.0.2.7"


def test_only_trusted_proxies_state_the_client(app_log):
    app = application(trusted_proxies=["10.0.0.0/8"])
    get(app, x_forwarded_for="203.0.113.9")
    get(app, client=("10.0.0.1", 1), x_forwarded_for="203.0.113.9", forwarded="for=198.51.100.1")
    get(app, client=None, x_forwarded_for="203.0.113.9")
    sources = [record.get("audit.source.id") for record in app_log.records()]
    assert sources == ["192.0.2.7", "203.0.113.9", None]


def test_header_of_the_proxies_can_be_forwarded(app_log):
    app = application(trusted_proxies=["unix"], proxy_header="forwarded")
    get(app, client=None, x_forwarded_for="203.0.113.9", forwarded='for="[2001:db8::1]"')
    record = app_log.record()
    assert (record["audit.source.id"], record["audit.source.type"]) == ("2001:db8::1", "ipv6")


def test_long_user_agent_is_shortened(app_log):
    get(application(), user_agent="a" * 70_000)
    assert app_log.record()["user_agent.original"] == "a" * 512


def test_concurrent_requests_keep_their_own_context(app_log):
    app = application()

    async def send():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
            names = [{"x-name": f"user-{number}", "user-agent": f"agent-{number}"} for number in range(20)]
            paths = ["/refund", "/thread"] * 10
            await asyncio.gather(
                *(http.get(path, headers=name) for path, name in zip(paths, names, strict=True))
            )

    asyncio.run(send())
    pairs = {(record["audit.actor.id"], record["user_agent.original"]) for record in app_log.records()}
    assert pairs == {(f"user-{number}", f"agent-{number}") for number in range(20)}


def test_lifespan_passes_through():
    async def run():
        seen = []

        async def app(scope, receive, send):
            seen.append(scope["type"])

        await AuditMiddleware(app)({"type": "lifespan"}, None, None)
        assert seen == ["lifespan"]

    asyncio.run(run())


def test_websocket_has_a_context_as_a_request_has():
    async def run():
        seen = []

        async def app(scope, receive, send):
            seen.append((current_actor(), current_client()))

        scope = {"type": "websocket", "client": ("2001:db8::1", 1), "headers": [(b"user-agent", b"till/1.0")]}
        await AuditMiddleware(app, lambda scope: "alice")(scope, None, None)
        assert seen == [(Actor("alice", "user"), ("2001:db8::1", "till/1.0"))]

    asyncio.run(run())
