"""Middleware of Django: the actor and the client of each request's records.

    MIDDLEWARE = [
        ...,
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "assay.audit.django.audit_middleware",
    ]

A record that is emitted in a view, synchronous or not, has `request.user` as its actor, the client's address
as its source, and its user agent. Settings:

- `AUDIT_ACTOR`: a function, or its dotted path, that returns the actor for a request: an `Actor`, the id of a
  user, or None if nobody is authenticated, which becomes `anonymous`. It is called for each record, and once
  before an asynchronous view, where it may query the database. If it raises, the record is not accepted.
  Default: the username of `request.user`.
- `AUDIT_TRUSTED_PROXIES`: a list of addresses and networks of proxies, or `unix`. Only what they state is
  believed. Default: none.
- `AUDIT_PROXY_HEADER`: the header that they add to, `x-forwarded-for` (default) or `forwarded`.

The context ends when the view returns: Django reads the content of a `StreamingHttpResponse` later.
"""

from __future__ import annotations

# pyright: reportMissingTypeStubs=false, reportUnknownVariableType=false
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.utils.decorators import sync_and_async_middleware
from django.utils.module_loading import import_string

from assay.audit._actor import Actor
from assay.audit._proxies import Proxies
from assay.audit._request import request_context

Request = Any
Response = Any
"""Django has no types of its own."""
FindActor = Callable[[Request], "Actor | str | None"]
GetResponse = Callable[[Request], Response]


def request_user(request: Request) -> str | None:
    """Return the username of `request.user`, None if it is not authenticated.

    Raises:
        AttributeError: `AuthenticationMiddleware` did not run before.
    """
    user = request.user
    return str(user.get_username()) if user.is_authenticated else None


@sync_and_async_middleware
def audit_middleware(get_response: GetResponse) -> GetResponse:
    """Set the actor and the client of the records of each request.

    Raises:
        ConfigurationError: A trusted proxy or the header is invalid.
    """
    configured = getattr(settings, "AUDIT_ACTOR", request_user)
    find: FindActor = import_string(configured) if isinstance(configured, str) else configured
    proxies = Proxies(
        getattr(settings, "AUDIT_TRUSTED_PROXIES", ()),
        getattr(settings, "AUDIT_PROXY_HEADER", "x-forwarded-for"),
    )

    def context_of(request: Request) -> AbstractContextManager[None]:
        meta = request.META
        address = proxies.client_address(meta.get("REMOTE_ADDR", ""), meta.get(proxies.variable, ""))
        return request_context(find, request, address, meta.get("HTTP_USER_AGENT", ""))

    def respond(request: Request) -> Response:
        with context_of(request):
            return get_response(request)

    async def respond_async(request: Request) -> Response:
        with context_of(request):
            return await get_response(request)

    def load_user(request: Request, view: Callable[..., Any], *_: object) -> None:
        """Load the user for an asynchronous view, whose event loop cannot query the database."""
        if iscoroutinefunction(view):
            with suppress(Exception):  # a record raises it; a request without records does not need the user
                find(request)

    middleware: Any = respond_async if iscoroutinefunction(get_response) else respond
    middleware.process_view = load_user  # Django calls it in a thread
    return middleware
