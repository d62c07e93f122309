"""The client of every record that is emitted within a block: its address and its user agent.

    with client(address="192.0.2.7", user_agent="curl/8.5.0"):
        approve(checkpoint)

The middleware of `assay.audit.asgi`, `assay.audit.wsgi` and `assay.audit.django` sets it for each request.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import NamedTuple, cast

from opentelemetry import context

from assay.semconv import attributes as keys

CLIENT_KEY = context.create_key("assay-audit-client")
USER_AGENT_LENGTH = 512
"""Characters of a user agent in a record: a longer one could make the record larger than the log accepts."""


class Client(NamedTuple):
    """The address that a request came from, and its user agent; empty if unknown."""

    address: str = ""
    user_agent: str = ""

    @property
    def address_type(self) -> str:
        """`ipv4`, `ipv6` or `hostname`."""
        try:
            version = ip_address(self.address).version
        except ValueError:
            return keys.AUDIT_SOURCE_TYPE_HOSTNAME
        return keys.AUDIT_SOURCE_TYPE_IPV4 if version == 4 else keys.AUDIT_SOURCE_TYPE_IPV6  # noqa: PLR2004


@contextmanager
def client(*, address: str = "", user_agent: str = "") -> Generator[Client]:
    """Set the client of every record that is emitted inside.

    A record takes `audit.source.id`, `audit.source.type` and `user_agent.original` from it, unless the record
    states them itself.

    Args:
        address: An IP address or a host name.
        user_agent: The `User-Agent` header; a record keeps its first 512 characters.
    """
    found = Client(address, user_agent[:USER_AGENT_LENGTH])
    token = context.attach(context.set_value(CLIENT_KEY, found))
    try:
        yield found
    finally:
        context.detach(token)


def current_client() -> Client:
    """Return the client of the context; without one, both of its fields are empty."""
    return cast("Client | None", context.get_value(CLIENT_KEY)) or Client()
