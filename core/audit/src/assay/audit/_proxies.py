"""The address of a request's client, behind proxies that are trusted to state it.

Anyone can send `X-Forwarded-For` and `Forwarded` (RFC 7239). So only the parts of one header that trusted
proxies have added are read: from the right, as far as the addresses are those of trusted proxies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network

from assay.audit.errors import ConfigurationError

UNIX = "unix"
"""Stands for a peer without an address: a proxy on this machine that connects by a Unix socket."""

# RFC 7239, section 4: a parameter of an element, and the separator after it.
_PARAMETER = re.compile(
    r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*))\s*([;,]|\Z)", re.ASCII
)


class Proxies:
    """Determines the addresses of clients.

    Args:
        trusted: Addresses and networks of the trusted proxies, such as `10.0.0.0/8`, or `unix`.
        header: The header that they add to: `x-forwarded-for` or `forwarded`. The other one is not read,
            since a proxy passes on unchanged the header that it does not know.

    Raises:
        ConfigurationError: Not an address or a network, or not one of the two headers.
    """

    def __init__(self, trusted: Iterable[str], header: str) -> None:
        if isinstance(trusted, str):
            raise ConfigurationError(f"the trusted proxies are a list: use [{trusted!r}]")
        names = set(trusted)
        self._trusts_unix = UNIX in names
        try:
            self._networks = [ip_network(name) for name in names - {UNIX}]
        except ValueError as error:
            raise ConfigurationError(f"trusted proxies are addresses, networks or `unix`: {error}") from error
        self.header = header.lower()
        if self.header not in _NODES:
            raise ConfigurationError(f"the header of proxies is {header!r}; allowed: {', '.join(_NODES)}")
        self.variable = f"HTTP_{self.header.upper().replace('-', '_')}"  # of a WSGI environment

    def client_address(self, peer: str, forwarded: str) -> str:
        """Return the address of the client; empty if unknown.

        The address that a trusted proxy states is the client's, unless it is a trusted proxy itself. Where a
        trusted proxy states none, the proxy's own address is the last known one.

        Args:
            peer: The address that is connected to this server; empty for a Unix socket.
            forwarded: The values of `header`, joined by commas; empty if there are none.
        """
        address = _address(peer) or peer
        for node in reversed(_NODES[self.header](forwarded)) if self._trusts(address) else ():
            stated = _address(node)
            if not stated:
                break
            address = stated
            if not self._trusts(address):
                break
        return address

    def _trusts(self, address: str) -> bool:
        if not address:
            return self._trusts_unix
        try:
            found = ip_address(address)
        except ValueError:  # a host name, as of a server for tests
            return False
        return any(found in network for network in self._networks)


def _address(node: str) -> str:
    """Return a node's IP address without its port, and IPv4 as such; empty if it is not an address."""
    host = node.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        found = ip_address(host)
    except ValueError:  # RFC 7239, section 6: `unknown`, or an obfuscated identifier
        return ""
    return str(found.ipv4_mapped or found) if isinstance(found, IPv6Address) else str(found)


def _forwarded_for(value: str) -> list[str]:
    """Return the nodes of `X-Forwarded-For`, the client's first."""
    return value.split(",") if value else []


def _forwarded(value: str) -> list[str]:
    """Return the `for` of each element of `Forwarded`; no nodes at all if the value is malformed."""
    nodes: list[str] = []
    node, position = "", 0
    while position < len(value):
        parameter = _PARAMETER.match(value, position)
        if parameter is None:
            return []
        name, quoted, token, separator = parameter.groups()
        if name.lower() == "for":
            node = quoted if quoted is not None else token
        if separator != ";":
            nodes.append(node)
            node = ""
        position = parameter.end()
    return nodes


_NODES = {"x-forwarded-for": _forwarded_for, "forwarded": _forwarded}
