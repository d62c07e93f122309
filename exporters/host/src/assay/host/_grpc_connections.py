"""Count and close the connections of a gRPC listener.

The gRPC library accepts connections itself, and limits their number but not whose they are. Its sockets are
files of this process, so this module looks for them among these once a second. A connection whose socket is
shut down ends as if its peer had closed it.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from urllib.parse import unquote

from assay.host._connections import Connections, Peer

INTERVAL_SECONDS = 1.0
_FILES = "/dev/fd"


class GrpcConnections:
    """The open connections of one gRPC listener. Used on the event loop only.

    Args:
        limit: How many connections the library accepts.
    """

    def __init__(self, limit: int) -> None:
        self._connections = Connections(limit)
        self._closing: list[Peer] = []

    def authenticated(self, peer: Peer, sender: str) -> None:
        """Count a connection for the sender of an authenticated call on it.

        Raises:
            Refusal: 429: the sender has its share of the connections already.
        """
        if peer not in self._connections:
            self._add(peer)
        self._connections.authenticated(peer, sender)

    async def watch(self, port: int) -> None:
        """Close those connections to a port that are beyond their share, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            if max(_open_files(), len(self._connections)) >= self._connections.share:
                self._sweep(port)

    def _sweep(self, port: int) -> None:
        files = _accepted(port)
        for peer in self._connections.peers - files.keys():
            self._connections.remove(peer)
        for peer in files:
            if peer not in self._connections:
                self._add(peer)
        while self._connections.anonymous > self._connections.share:
            self._connections.make_room()
        for peer in self._closing:
            if peer in files:
                _shut_down(files[peer], peer)
        self._closing.clear()

    def _add(self, peer: Peer) -> None:
        self._connections.add(peer, partial(self._closing.append, peer))


def parse_peer(text: str) -> Peer:
    """Return the peer that gRPC names, such as `ipv4:127.0.0.1:50000` or `ipv6:%5B::1%5D:50000`."""
    host, _, port = unquote(text).partition(":")[2].rpartition(":")
    return Peer.parse(host.strip("[]"), int(port) if port.isdigit() else 0)


def _open_files() -> int:
    with os.scandir(_FILES) as entries:
        return sum(1 for _ in entries)


def _accepted(port: int) -> dict[Peer, int]:
    """Return the file numbers of this process's connections to a port of its own."""
    with os.scandir(_FILES) as entries:
        numbers = [int(entry.name) for entry in entries]
    found: dict[Peer, int] = {}
    for number in numbers:
        with suppress(OSError), _borrowed(number) as opened:
            if opened.getsockname()[1] == port:
                found[_peer(opened)] = number
    return found


def _shut_down(number: int, peer: Peer) -> None:
    """Shut down a connection, if the file still is that connection."""
    with suppress(OSError), _borrowed(number) as opened:
        if _peer(opened) == peer:
            opened.shutdown(socket.SHUT_RDWR)


@contextmanager
def _borrowed(number: int) -> Generator[socket.socket]:
    """Yield the socket of a file number without a file of its own.

    A duplicate would have to be closed, and closing any file of a database ends the process's locks on it.

    Raises:
        OSError: It is not a socket of the Internet protocols.
    """
    opened = socket.socket(fileno=number)
    try:
        if opened.family not in {socket.AF_INET, socket.AF_INET6}:
            raise OSError("not a socket of the Internet protocols")
        yield opened
    finally:
        opened.detach()


def _peer(connection: socket.socket) -> Peer:
    return Peer.parse(*connection.getpeername()[:2])
