"""Checks of URLs, addresses, tokens and `Retry-After`, and texts from outside as messages may show them.

    from assay.endpoints import EndpointError, check_confidential, without_credentials

    try:
        check_confidential(url)
    except EndpointError as error:
        raise ConfigurationError(f"endpoint {without_credentials(url)!r}: {error}") from error

A check returns the value it was given, or raises `EndpointError`. The message says what is expected and
never contains the value, which may be a secret.
"""

from assay.endpoints._addresses import Address, is_loopback, parse_address
from assay.endpoints._display import printable, printable_json, without_credentials
from assay.endpoints._errors import EndpointError
from assay.endpoints._retries import retry_after
from assay.endpoints._tokens import check_token
from assay.endpoints._urls import check_confidential, check_http_url, check_no_credentials

__all__ = [
    "Address",
    "EndpointError",
    "check_confidential",
    "check_http_url",
    "check_no_credentials",
    "check_token",
    "is_loopback",
    "parse_address",
    "printable",
    "printable_json",
    "retry_after",
    "without_credentials",
]
