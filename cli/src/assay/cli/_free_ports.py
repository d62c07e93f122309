"""Find loopback ports that are free."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterable

from assay.endpoints import parse_address

_PORTS = range(20_000, 32_768)
"""Ports that Linux gives to no connection and no other server by itself (ip(7), `ip_local_port_range`)."""
_ATTEMPTS = 100


def free_addresses(names: Iterable[str], reserved: contextlib.ExitStack | None = None) -> dict[str, str]:
    """Return a loopback address with a free port for each name, no two of them the same.

    Args:
        names: The names.
        reserved: The ports stay reserved until it is closed; by default they are released at once.
    """
    with contextlib.ExitStack() as own:
        kept = own if reserved is None else reserved
        return {name: free_address(kept) for name in names}


def free_address(reserved: contextlib.ExitStack) -> str:
    """Return a loopback address with a free port, and reserve the port until `reserved` is closed."""
    listener = reserved.enter_context(socket.socket())
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.choice(_PORTS)))  # noqa: S311 - no secret
            break
    else:
        listener.bind(("127.0.0.1", 0))
    host, port = listener.getsockname()
    return f"{host}:{port}"


def is_free(address: str) -> bool:
    """Return whether this process could listen on a loopback address now."""
    host, port = parse_address(address)
    with socket.socket() as probe:
        # As servers do: closed connections of an earlier server do not occupy its port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
