"""Bind an address, with errors that name the listener, and limit the connections that it accepts."""

from __future__ import annotations

import errno
import resource
import socket
from typing import Any

from assay.endpoints import parse_address
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
    """A listening socket that closes a new connection at once when it has as many as it may have.

    A connection counts from `accept` until its socket is closed, so a TLS handshake counts too.
    """

    connections = 1

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection.

        Raises:
            BlockingIOError: No connection waits, or the one that waited was closed.
        """
        accepted, address = super().accept()
        open_connections = self.__dict__.setdefault("open", set[int]())
        if len(open_connections) >= self.connections:
            accepted.close()
            raise BlockingIOError
        return _Counted(accepted, open_connections), address


class _Counted(socket.socket):
    """A connection that leaves the set of open ones when it is closed."""

    def __init__(self, accepted: socket.socket, open_connections: set[int]) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._open = open_connections
        self._number = self.fileno()
        open_connections.add(self._number)

    def close(self) -> None:
        # First: the next connection may get the same number.
        self._open.discard(self._number)
        super().close()


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
        bound.connections = connections
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
