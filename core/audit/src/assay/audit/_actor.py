"""The actor of every record that is emitted within a block.

    with actor(id="alice@example.com", type="user"):
        approve(checkpoint)

The OpenTelemetry context holds the actor, so it follows asyncio tasks and everything else that carries the
context. Without one, the baggage entries `audit.actor.id` and `audit.actor.type` are used, which cross
process boundaries.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import NamedTuple, cast

from opentelemetry import baggage, context

from assay.audit.errors import RecordError
from assay.audit.record import ACTOR_TYPES
from assay.semconv import attributes as keys

ACTOR_KEY = context.create_key("assay-audit-actor")
"""The context's `Actor`, or a function that returns it when a record is emitted."""


class Actor(NamedTuple):
    """Who acted, and the type of actor: `user`, `service` or `system`."""

    id: str
    type: str


SYSTEM = Actor("system", "system")
"""The actor of a record that names none, where the context and the baggage name none either."""


@contextmanager
def actor(*, id: str, type: str = "user") -> Generator[Actor]:  # noqa: A002  the words of the attributes
    """Set the actor of every record that is emitted inside.

    Args:
        id: Who acts; not empty.
        type: `user`, `service` or `system`.

    Raises:
        RecordError: The id is empty or the type is not one of the three.
    """
    if not id:
        raise RecordError("the actor's id is empty: use `anonymous` or `unknown` for an unknown actor")
    if type not in ACTOR_TYPES:
        raise RecordError(f"the actor's type is {type!r}; allowed: {', '.join(sorted(ACTOR_TYPES))}")
    who = Actor(id, type)
    token = context.attach(context.set_value(ACTOR_KEY, who))
    try:
        yield who
    finally:
        context.detach(token)


def current_actor() -> Actor:
    """Return the actor of the context, else that of the baggage, else `SYSTEM`.

    Raises:
        RecordError: The actor of the current request cannot be determined.
    """
    who = cast("Actor | Callable[[], Actor] | None", context.get_value(ACTOR_KEY))
    if who is not None:
        return who if isinstance(who, Actor) else who()
    name = baggage.get_baggage(keys.AUDIT_ACTOR_ID)
    if not isinstance(name, str) or not name:
        return SYSTEM
    kind = baggage.get_baggage(keys.AUDIT_ACTOR_TYPE)
    return Actor(name, kind if isinstance(kind, str) and kind in ACTOR_TYPES else "user")
