"""Bind an address, with errors that name the listener, and limit the connections that it accepts."""

from __future__ import annotations

import errno
import resource
import select
import socket
from contextlib import suppress
from typing import Any

from assay.endpoints import parse_address
from assay.host._connections import Connections, Peer
from assay.host.errors import StartError

RESERVED_FILES = 192
"""Files that the process may need besides: databases, sinks, listeners of exporters, libraries."""
HEALTH_CONNECTIONS = 32


def connection_limit(configured: int, listeners: int) -> int:
    """Return how many connections each listener may accept.

    Args:
        configured: The setting `limits.connections`.
        listeners: The number of listeners, without that of health.

    Returns:
        The setting, or less if the process may not open so many files.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return configured
    for_each = (files - RESERVED_FILES - HEALTH_CONNECTIONS) // max(listeners, 1)
    return max(1, min(configured, for_each))


class LimitedSocket(socket.socket):
    """A listening socket that accepts as many connections as `connections` allows.

    A connection counts from `accept` until its socket is closed, so a TLS handshake counts too.
    """

    connections: Connections

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: No connection waits, it has to wait until another is closed, or it was closed.
        """
        is_full = len(self.connections) >= self.connections.limit
        if is_full and self._one_waits() and self.connections.make_room():
            raise BlockingIOError  # the new connection stays in the backlog until the other is closed
        accepted, address = super().accept()
        if is_full:
            accepted.close()
            raise BlockingIOError
        return _Counted(accepted, Peer.parse(*address[:2]), self.connections), address

    def _one_waits(self) -> bool:
        poll = select.poll()
        poll.register(self, select.POLLIN)
        return bool(poll.poll(0))


class _Counted(socket.socket):
    """A connection that counts until it is closed."""

    def __init__(self, accepted: socket.socket, peer: Peer, connections: Connections) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._peer = peer
        self._connections = connections
        connections.add(peer, self._end)

    def close(self) -> None:
        self._connections.remove(self._peer)
        super().close()

    def _end(self) -> None:
        """Let the connection's owner read the end of the stream: it closes the connection then."""
        with suppress(OSError):  # its peer has closed it
            self.shutdown(socket.SHUT_RDWR)


def bind(listener: str, address: str, connections: int = 1) -> LimitedSocket:
    """Bind and return a TCP socket; port 0 takes any free port.

    Args:
        listener: The listener's name in the configuration, for error messages.
        address: `host:port`.
        connections: Maximum number of open connections.

    Raises:
        StartError: The port is in use, or the address does not belong to this machine.
    """
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = LimitedSocket(family, kind, protocol)
        bound.connections = Connections(connections)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(name)
            bound.listen(512)  # with SO_REUSEADDR two sockets can bind one address, but only one can listen
        except OSError:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"port {port} is in use: stop the program that uses it, or choose another port"
        else:
            reason = f"{error.strerror or error}: check the address and the port"
        raise StartError(f"listener {listener!r} cannot listen on {address}: {reason}") from error
    return bound
