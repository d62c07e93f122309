"""Who is doing it: an actor for every record that is emitted in its scope.

    with actor(id="alice@example.com", type="user"):
        approve(checkpoint)

The actor is kept in the OpenTelemetry context, so that it follows tasks and whatever carries the context.
Where there is none, the baggage entries `audit.actor.id` and `audit.actor.type` count, which cross process
borders.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import NamedTuple, cast

from opentelemetry import baggage, context

from assay.audit.errors import RecordError
from assay.audit.record import ACTOR_ID, ACTOR_TYPE, ACTOR_TYPES

_KEY = context.create_key("assay-audit-actor")


class Actor(NamedTuple):
    """Who did it, and what kind of actor that is: `user`, `service` or `system`."""

    id: str
    type: str


UNKNOWN = Actor("unknown", "service")


@contextmanager
def actor(*, id: str, type: str = "user") -> Generator[Actor]:  # noqa: A002  the words of the attributes
    """Name the actor of every record that is emitted inside.

    Args:
        id: Who; not empty.
        type: `user`, `service` or `system`.

    Raises:
        RecordError: The id is empty or the type is none of the three.
    """
    if not id:
        raise RecordError(
            "the actor's id is empty: say `anonymous` or `unknown` for an actor who is not known"
        )
    if type not in ACTOR_TYPES:
        raise RecordError(f"the actor's type is {type!r}, it may be: {', '.join(sorted(ACTOR_TYPES))}")
    who = Actor(id, type)
    token = context.attach(context.set_value(_KEY, who))
    try:
        yield who
    finally:
        context.detach(token)


def current_actor() -> Actor:
    """Return the actor of the context, else that of the baggage, else `UNKNOWN`."""
    if (who := cast("Actor | None", context.get_value(_KEY))) is not None:
        return who
    name = baggage.get_baggage(ACTOR_ID)
    if not isinstance(name, str) or not name:
        return UNKNOWN
    kind = baggage.get_baggage(ACTOR_TYPE)
    return Actor(name, kind if isinstance(kind, str) and kind in ACTOR_TYPES else "user")
