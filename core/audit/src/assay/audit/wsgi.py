"""Middleware of WSGI applications (Flask): the actor and the client of each request's records.

    app.wsgi_app = AuditMiddleware(app.wsgi_app, actor=remote_user)

A record that is emitted while the application handles a request, or while the server reads the response, has
the actor that the function returns, the client's address as its source, and its user agent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from assay.audit._actor import Actor
from assay.audit._proxies import Proxies
from assay.audit._request import request_context

Environment = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
WSGIApp = Callable[[Environment, StartResponse], Iterable[bytes]]


def remote_user(environ: Environment) -> str | None:
    """Return `REMOTE_USER`, which a server sets that authenticates users itself; None without it."""
    return environ.get("REMOTE_USER") or None


class AuditMiddleware:
    """Sets the actor and the client of the records of each request.

    Args:
        app: The application.
        actor: Returns the actor for a request's environment: an `Actor`, the id of a user, or None if nobody
            is authenticated, which becomes `anonymous`. It is called for each record. If it raises, the
            record is not accepted.
        trusted_proxies: Addresses and networks of proxies, or `unix`. Only what they state is believed.
        proxy_header: The header that they add to: `x-forwarded-for` or `forwarded`.

    Raises:
        ConfigurationError: A trusted proxy or the header is invalid.
    """

    def __init__(
        self,
        app: WSGIApp,
        actor: Callable[[Environment], Actor | str | None],
        *,
        trusted_proxies: Iterable[str] = (),
        proxy_header: str = "x-forwarded-for",
    ) -> None:
        self._app = app
        self._actor = actor
        self._proxies = Proxies(trusted_proxies, proxy_header)

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Run the application within the context of the request."""
        address = self._proxies.client_address(
            environ.get("REMOTE_ADDR", ""), environ.get(self._proxies.variable, "")
        )

        def enter() -> AbstractContextManager[None]:
            return request_context(self._actor, environ, address, environ.get("HTTP_USER_AGENT", ""))

        with enter():
            return _Body(self._app(environ, start_response), enter)


class _Body:
    """A response's body, of which each part is made within the context of the request."""

    def __init__(self, body: Iterable[bytes], enter: Callable[[], AbstractContextManager[None]]) -> None:
        self._body: Any = body
        self._enter = enter
        self._parts = iter(body)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with self._enter():
            return next(self._parts)

    def close(self) -> None:
        """Close the application's body (PEP 3333)."""
        if hasattr(self._body, "close"):
            with self._enter():
                self._body.close()
