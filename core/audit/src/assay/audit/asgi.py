"""Middleware of ASGI applications (Starlette, FastAPI): the actor and the client of each request's records.

    app.add_middleware(AuditMiddleware, trusted_proxies=["10.0.0.0/8"])

A record that is emitted while the application handles a request or a WebSocket has the request's user as its
actor, the client's address as its source, and its user agent.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from assay.audit._actor import Actor
from assay.audit._proxies import Proxies
from assay.audit._request import request_context

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]


def scope_user(scope: Scope) -> str | None:
    """Return the id of `scope["user"]`, None if it is not authenticated.

    The id is the user's `identity`, or `display_name` if the user does not have that, as Starlette's
    `SimpleUser`.

    Raises:
        KeyError: The application has no middleware that sets the user.
    """
    user = scope["user"]
    if not user.is_authenticated:
        return None
    try:
        return str(user.identity)
    except NotImplementedError:
        return str(user.display_name)


class AuditMiddleware:
    """Sets the actor and the client of the records of each request.

    Args:
        app: The application.
        actor: Returns the actor for a connection's scope: an `Actor`, the id of a user, or None if nobody is
            authenticated, which becomes `anonymous`. It is called for each record, on the event loop. If it
            raises, the record is not accepted. Default: `scope_user`.
        trusted_proxies: Addresses and networks of proxies, or `unix`. Only what they state is believed.
        proxy_header: The header that they add to: `x-forwarded-for` or `forwarded`.

    Raises:
        ConfigurationError: A trusted proxy or the header is invalid.
    """

    def __init__(
        self,
        app: ASGIApp,
        actor: Callable[[Scope], Actor | str | None] = scope_user,
        *,
        trusted_proxies: Iterable[str] = (),
        proxy_header: str = "x-forwarded-for",
    ) -> None:
        self._app = app
        self._actor = actor
        self._proxies = Proxies(trusted_proxies, proxy_header)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application within the context of the request."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        peer = scope.get("client") or ("", 0)
        address = self._proxies.client_address(peer[0], _header(scope, self._proxies.header))
        with request_context(self._actor, scope, address, _header(scope, "user-agent")):
            await self._app(scope, receive, send)


def _header(scope: Scope, name: str) -> str:
    """Return a header's values, joined by commas (RFC 9110, section 5.3)."""
    wanted = name.encode()
    return ", ".join(value.decode("latin-1") for key, value in scope["headers"] if key == wanted)
