"""The context of a request: its actor, which is determined when a record is emitted, and its client.

The actor is determined as late as that because a request that emits no record must not load its user, and
because the user may change within the request, by a login.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from opentelemetry import context

from assay.audit._actor import ACTOR_KEY, Actor
from assay.audit._client import CLIENT_KEY, USER_AGENT_LENGTH, Client
from assay.audit.errors import RecordError

Request = TypeVar("Request")

ANONYMOUS = Actor("anonymous", "user")
"""The actor of a request that nobody has authenticated. It is never `system`, nor one of the baggage."""


@contextmanager
def request_context(
    find_actor: Callable[[Request], Actor | str | None], request: Request, address: str, user_agent: str
) -> Generator[None]:
    """Set the actor and the client of every record that is emitted inside.

    Args:
        find_actor: Returns the request's actor, the id of a user, or None for `ANONYMOUS`.
        request: The argument of `find_actor`.
        address: The client's address, empty if unknown.
        user_agent: The `User-Agent` header, empty if there is none.
    """
    found = Client(address, user_agent[:USER_AGENT_LENGTH])
    inner = context.set_value(ACTOR_KEY, lambda: _actor_of(find_actor, request))
    token = context.attach(context.set_value(CLIENT_KEY, found, inner))
    try:
        yield
    finally:
        context.detach(token)


def _actor_of(find_actor: Callable[[Request], Actor | str | None], request: Request) -> Actor:
    try:
        found = find_actor(request)
    except Exception as error:
        raise RecordError(
            f"the request's actor cannot be determined ({type(error).__name__}: {error}): put the middleware"
            " where the user is known, pass it a function that returns the actor, or use"
            " `with assay.audit.actor(...)`"
        ) from error
    if found is None:
        return ANONYMOUS
    return found if isinstance(found, Actor) else Actor(found, "user")
