"""Refuse a Collector whose receivers other machines can reach without authentication."""

from __future__ import annotations

from collections.abc import Mapping

from assay.cli._collector.errors import CollectorError
from assay.endpoints import EndpointError, is_loopback, parse_address

ALLOWED = "ASSAY_COLLECTOR_REACHABLE_WITHOUT_AUTHENTICATION"
_ADDRESSES = (  # the audit receiver has authentication
    "ASSAY_COLLECTOR_HEALTH_ADDRESS",
    "ASSAY_COLLECTOR_OTLP_GRPC_ADDRESS",
    "ASSAY_COLLECTOR_OTLP_HTTP_ADDRESS",
    "ASSAY_COLLECTOR_PROMETHEUS_ADDRESS",
)
_HOST = "ASSAY_COLLECTOR_TELEMETRY_HOST"


def check_reach(environment: Mapping[str, str]) -> None:
    """Check that the receivers without authentication listen on loopback.

    Args:
        environment: The variables of the Collector's configuration files.

    Raises:
        CollectorError: Other machines can reach one, and the variable that allows it is not `true`; or an
            address is not `host:port`.
    """
    if environment.get(ALLOWED) == "true":
        return
    hosts = {name: _host(name, environment[name]) for name in _ADDRESSES if environment.get(name)}
    if environment.get(_HOST):
        hosts[_HOST] = environment[_HOST]
    reachable = [name for name, host in hosts.items() if not is_loopback(host)]
    if reachable:
        raise CollectorError(
            f"other machines can reach {', '.join(reachable)} without authentication: use 127.0.0.1, or set "
            f"{ALLOWED}=true"
        )


def _host(name: str, address: str) -> str:
    try:
        return parse_address(address).host
    except EndpointError as error:
        raise CollectorError(f"{name}: {error}") from error
