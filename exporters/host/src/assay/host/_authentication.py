"""Bearer-token authentication of senders (RFC 6750).

The TLS layer verifies client certificates before a request reaches this module.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import get_args

from pydantic import SecretStr

from assay.host._refusal import Refusal
from assay.host._settings import AuthSettings, Token
from assay.host.exporter import Signal


@dataclass(frozen=True)
class Sender:
    """An authenticated sender: the name of its token, and the signals that it may send."""

    name: str
    signals: frozenset[Signal]

    def require(self, signal: Signal) -> None:
        """Check that the sender may send a signal.

        Raises:
            Refusal: 403: it may not.
        """
        self.require_any(frozenset({signal}))

    def require_any(self, signals: frozenset[Signal]) -> None:
        """Check that the sender may send one of some signals.

        Raises:
            Refusal: 403: it may send none of them.
        """
        if not self.signals & signals:
            allowed = ", ".join(sorted(self.signals))
            wanted = " or ".join(sorted(signals))
            raise Refusal(
                403,
                f"the token {self.name!r} may send {allowed}, not {wanted}: see auth.bearer of the listener",
            )


ANYONE = Sender("", frozenset(get_args(Signal)))


class Authentication:
    """The bearer tokens of one listener. Without settings every sender is `ANYONE`."""

    def __init__(self, settings: AuthSettings | None) -> None:
        self._required = settings is not None
        self._senders = _senders_by_digest(settings) if settings is not None else {}

    def authenticate(self, authorization: str | None) -> Sender:
        """Return the sender that an `Authorization` header identifies.

        Every token is compared, each in constant time.

        Raises:
            Refusal: 401: the header is missing, its scheme is not Bearer, or the token is unknown.
        """
        if not self._required:
            return ANYONE
        if not authorization:
            raise Refusal(401, "no credentials: send the header 'Authorization: Bearer <token>'")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(
                401, "the authorization scheme is not supported: send 'Authorization: Bearer <token>'"
            )
        digest = _digest(token.strip())
        found = None
        for known, sender in self._senders.items():
            if hmac.compare_digest(known, digest):
                found = sender
        if found is None:
            raise Refusal(401, "the bearer token is not one of this listener's: check it and its expiry")
        return found


def _senders_by_digest(settings: AuthSettings) -> dict[bytes, Sender]:
    bearer = settings.bearer
    if isinstance(bearer, SecretStr):
        return {_digest(bearer.get_secret_value()): Sender("bearer", ANYONE.signals)}
    senders: dict[bytes, Sender] = {}
    for name, value in bearer.items():
        secret, signals = (
            (value.token, value.signals) if isinstance(value, Token) else (value, ANYONE.signals)
        )
        senders[_digest(secret.get_secret_value())] = Sender(name, signals)
    return senders


def _digest(token: str) -> bytes:
    """Return a digest, so that compared values have equal length; it does not protect the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
