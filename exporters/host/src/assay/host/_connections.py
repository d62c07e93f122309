"""Share the connections of a listener among its peers.

All peers on one machine have one address, and a stranger connects without credentials. A connection therefore
counts for its peer's address until a request on it has been authenticated, and from then on for the sender of
that request. A sender may have half of a listener's connections, and so may an address before it presents
credentials. A connection without an authenticated request makes room for a new one, the oldest of the address
that has most of them first, so such connections keep no sender out.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from assay.host._refusal import Refusal


class Peer(NamedTuple):
    """The other end of a connection."""

    address: str
    port: int

    @classmethod
    def parse(cls, host: str, port: int) -> Peer:
        """Return the peer with its address in one form; an IPv4 address in IPv6 form becomes IPv4."""
        address = _ip_address(host)
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        return cls(str(mapped or address or host), port)

    @property
    def machine(self) -> str:
        """The part of the address that a machine does not choose: IPv4 all of it, IPv6 its first 64 bits."""
        if isinstance(address := _ip_address(self.address), ipaddress.IPv6Address):
            return str(ipaddress.IPv6Network((address, 64), strict=False))
        return self.address


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:  # a socket that is not of the Internet protocols
        return None


@dataclass
class _Connection:
    close: Callable[[], object]
    sender: str | None = None
    closing: bool = False


class Connections:
    """The open connections of one listener. Used on the event loop only.

    Args:
        limit: How many connections may be open.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.share = (limit + 1) // 2
        self._open: dict[Peer, _Connection] = {}
        self._anonymous: dict[str, dict[Peer, None]] = {}
        """By machine, the oldest first: connections without an authenticated request."""
        self._by_sender: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, peer: Peer) -> bool:
        return peer in self._open

    @property
    def peers(self) -> set[Peer]:
        """The peers of all open connections."""
        return set(self._open)

    @property
    def anonymous(self) -> int:
        """The number of connections without an authenticated request."""
        return sum(map(len, self._anonymous.values()))

    def add(self, peer: Peer, close: Callable[[], object]) -> None:
        """Count a new connection, and close the oldest of its machine if that has more than its share.

        Args:
            peer: The other end.
            close: Starts to close the connection; `remove` follows when it is closed.
        """
        self._open[peer] = _Connection(close)
        of_machine = self._anonymous.setdefault(peer.machine, {})
        of_machine[peer] = None
        if len(of_machine) > self.share:
            self._close_oldest(of_machine)

    def remove(self, peer: Peer) -> None:
        """Stop counting a connection, which is closed."""
        if (connection := self._open.get(peer)) is not None:
            self._release(peer, connection)
            del self._open[peer]

    def authenticated(self, peer: Peer, sender: str) -> None:
        """Count a connection for the sender of an authenticated request on it.

        Raises:
            Refusal: 429: the sender has its share of the connections already.
        """
        connection = self._open.get(peer)
        if connection is None or connection.closing or connection.sender == sender:
            return
        if self._by_sender[sender] >= self.share:
            raise Refusal(429, "the sender has too many connections (limits.connections): close some")
        self._release(peer, connection)
        connection.sender = sender
        self._by_sender[sender] += 1

    def make_room(self) -> bool:
        """Start to close a connection without an authenticated request.

        Returns:
            Whether there is one.
        """
        if not self._anonymous:
            return False
        self._close_oldest(max(self._anonymous.values(), key=len))
        return True

    def _close_oldest(self, of_machine: dict[Peer, None]) -> None:
        peer = next(iter(of_machine))
        connection = self._open[peer]
        self._release(peer, connection)
        connection.closing = True
        connection.close()

    def _release(self, peer: Peer, connection: _Connection) -> None:
        """Return a connection's place in the share of its machine or its sender."""
        if connection.sender is not None:
            self._by_sender[connection.sender] -= 1
            if not self._by_sender[connection.sender]:
                del self._by_sender[connection.sender]
        elif not connection.closing:
            of_machine = self._anonymous[peer.machine]
            del of_machine[peer]
            if not of_machine:
                del self._anonymous[peer.machine]
