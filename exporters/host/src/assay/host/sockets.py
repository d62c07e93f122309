"""Binding an address, with an error that names the listener."""

from __future__ import annotations

import errno
import socket

from assay.host.errors import StartError
from assay.host.settings import host_port


def bind(listener: str, address: str) -> socket.socket:
    """Bind and return a TCP socket; port 0 takes any free port.

    Args:
        listener: Its name in the configuration, for the error.
        address: `host:port`.

    Raises:
        StartError: The port is in use, or the address is not this machine's.
    """
    host, port = host_port(address)
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(name)
            bound.listen(512)  # SO_REUSEADDR lets two bind, and only one listen
        except OSError:
            bound.close()
            raise
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = f"port {port} is in use: stop the program that has it, or give the listener another port"
        else:
            why = f"{error.strerror or error}: check the address and the port"
        raise StartError(f"listener {listener!r} cannot listen on {address}: {why}") from error
    return bound
