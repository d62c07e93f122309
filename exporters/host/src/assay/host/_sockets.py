"""Bind an address, with errors that name the listener."""

from __future__ import annotations

import errno
import socket

from assay.endpoints import parse_address
from assay.host.errors import StartError


def bind(listener: str, address: str) -> socket.socket:
    """Bind and return a TCP socket; port 0 takes any free port.

    Args:
        listener: The listener's name in the configuration, for error messages.
        address: `host:port`.

    Raises:
        StartError: The port is in use, or the address does not belong to this machine.
    """
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
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
