"""Types of settings that the host and its exporters share."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, SecretStr

from assay.endpoints import check_token, parse_address


def _check_address(address: str) -> str:
    parse_address(address)
    return address


def _check_secret(secret: SecretStr) -> SecretStr:
    check_token(secret.get_secret_value())
    return secret


Address = Annotated[str, AfterValidator(_check_address)]
"""`host:port` to listen on; port 0 takes any free port."""

Secret = Annotated[SecretStr, AfterValidator(_check_secret)]
"""A bearer token. Neither its representation nor a validation error shows it."""
