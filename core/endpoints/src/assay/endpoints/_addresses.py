"""Network addresses in the form `host:port`."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple

from assay.endpoints._errors import EndpointError

MAXIMUM_PORT = 65535
_EXPECTED = "expected host:port, such as 127.0.0.1:4317 or [::1]:4317"


class Address(NamedTuple):
    """A host, without the brackets of an IPv6 address, and a port from 0 to 65535."""

    host: str
    port: int


def parse_address(text: str) -> Address:
    """Return the host and port of `host:port`; an IPv6 address stands in brackets.

    Raises:
        EndpointError: The text has another form.
    """
    host, separator, port = text.rpartition(":")
    in_brackets = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if in_brackets else host
    if not (separator and _is_host(host, in_brackets=in_brackets) and port.isascii() and port.isdigit()):
        raise EndpointError(_EXPECTED)
    if int(port) > MAXIMUM_PORT:
        raise EndpointError(f"expected a port from 0 to {MAXIMUM_PORT}")
    return Address(host, int(port))


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host: `localhost` or a loopback address.

    Args:
        host: A name or an IP address, without brackets. No name is resolved.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _is_host(host: str, *, in_brackets: bool) -> bool:
    if in_brackets:
        return ":" in host
    return bool(host) and host.isprintable() and not any(character in " /:@?#[]" for character in host)
