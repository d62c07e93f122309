"""Who may send: bearer tokens (RFC 6750). TLS has checked client certificates before anything gets here."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import get_args

from pydantic import SecretStr

from assay.host.exporter import Signal
from assay.host.refusal import Refusal
from assay.host.settings import AuthSettings, Token


@dataclass(frozen=True)
class Sender:
    """Who sent a request: the name of its token, and the signals that it may send."""

    name: str
    signals: frozenset[Signal]

    def check(self, signal: Signal) -> None:
        """Refuse a signal that the sender may not send.

        Raises:
            Refusal: 403.
        """
        if signal not in self.signals:
            allowed = ", ".join(sorted(self.signals))
            raise Refusal(
                403,
                f"the token {self.name!r} may send {allowed}, not {signal}: see auth.bearer of the listener",
            )


ANYONE = Sender("", frozenset(get_args(Signal)))


class Authentication:
    """The tokens of one listener."""

    def __init__(self, settings: AuthSettings | None) -> None:
        self._required = settings is not None
        self._tokens = _senders(settings) if settings is not None else {}

    def check(self, authorization: str | None) -> Sender:
        """Say who sent a request, from its `Authorization` header.

        Every token is compared, each in constant time.

        Raises:
            Refusal: 401.
        """
        if not self._required:
            return ANYONE
        if not authorization:
            raise Refusal(401, "no credentials: send the header 'Authorization: Bearer <token>'")
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Refusal(
                401, "the authorization scheme is not known here: send 'Authorization: Bearer <token>'"
            )
        digest = _digest(token.strip())
        sender = None
        for known, owner in self._tokens.items():
            if hmac.compare_digest(known, digest):
                sender = owner
        if sender is None:
            raise Refusal(401, "the bearer token is not one of this listener's: check it and its expiry")
        return sender


def _senders(settings: AuthSettings) -> dict[bytes, Sender]:
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
    """Equal lengths for the comparison; no protection of the token is meant."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
