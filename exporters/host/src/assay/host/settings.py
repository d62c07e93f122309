"""What can be configured, and between which bounds. `config.py` reads it from a file."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from typing_extensions import Self

from assay.host.exporter import Peer, Signal


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _address(value: str) -> str:
    host, separator, port = value.rpartition(":")
    if not separator or not host or not port.isdigit() or int(port) > 65535:  # noqa: PLR2004  16 bits
        raise ValueError("expected host:port, for example 127.0.0.1:4327 or [::1]:4327")
    return value


def _can_be_sent(secret: SecretStr) -> SecretStr:
    token = secret.get_secret_value()
    if not token:
        raise ValueError("the token is empty")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("a header carries the token: it may have printable ASCII without spaces only")
    return secret


Address = Annotated[str, AfterValidator(_address)]
Secret = Annotated[SecretStr, AfterValidator(_can_be_sent)]


def host_port(address: str) -> tuple[str, int]:
    """Take `host:port` apart; the brackets of an IPv6 address go."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    host, _ = host_port(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Token(_Section):
    """A bearer token that may send some signals only."""

    token: Secret
    signals: frozenset[Signal] = Field(min_length=1)


class AuthSettings(_Section):
    """Who may send: one token, or several by name."""

    bearer: Secret | dict[str, Secret | Token] = Field(min_length=1)

    @model_validator(mode="after")
    def _tokens_differ(self) -> Self:
        names: dict[str, str] = {}
        for name, value in self.bearer.items() if isinstance(self.bearer, dict) else ():
            token = (value.token if isinstance(value, Token) else value).get_secret_value()
            if (other := names.setdefault(token, name)) != name:
                raise ValueError(f"{other} and {name} have the same token: give each its own")
        return self


class TLSSettings(_Section):
    """PEM files. With `client_ca` only clients with a certificate of that authority are let in (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @model_validator(mode="after")
    def _readable(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # OpenSSL would ask for a password on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except OSError as error:  # ssl.SSLError is one
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            raise ValueError(
                f"cannot use {files} as PEM certificate and key without a password: {error}"
            ) from error
        return self


class ListenerSettings(_Section):
    """One address that batches come in at."""

    name: str = Field(min_length=1)
    protocol: Literal["grpc", "http"]
    address: Address
    peer: Peer = "direct"
    auth: AuthSettings | None = None
    tls: TLSSettings | None = None

    @model_validator(mode="after")
    def _closed(self) -> Self:
        has_authentication = self.auth is not None or (
            self.tls is not None and self.tls.client_ca is not None
        )
        if not has_authentication and not is_loopback(self.address):
            raise ValueError(
                f"{self.address} can be reached from other machines and nobody is asked who they are: add"
                " auth.bearer or tls.client_ca, or listen on 127.0.0.1"
            )
        return self


class HealthSettings(_Section):
    """Where `/health`, `/health/ready` and `/health/detailed` are answered, without authentication."""

    address: Address = "127.0.0.1:13134"


class LimitSettings(_Section):
    """What no sender can go beyond."""

    body_bytes: int = Field(default=32 * 1024 * 1024, ge=1024, le=1024 * 1024 * 1024)
    """One body, as sent and again when decompressed."""
    buffered_bytes: int = Field(default=256 * 1024 * 1024, ge=1024)
    """All bodies that are being read or parsed, as sent and decompressed; `queue` bounds what waits.

    A gRPC message counts when it is there as a whole: until then `concurrent_requests` bounds them.
    """
    depth: int = Field(default=64, ge=8, le=100)
    """Messages nested in one another, the request counted; 100 is the protobuf library's limit."""
    header_bytes: int = Field(default=16 * 1024, ge=1024, le=1024 * 1024)
    """All headers of a request."""
    concurrent_requests: int = Field(default=128, ge=1)
    """Requests that are being read or parsed."""
    connections: int = Field(default=1024, ge=1)
    """Open connections of one listener."""
    read_timeout: float = Field(default=30, gt=0)
    """Seconds in which all headers, and again in which the whole body, must have come."""
    idle_timeout: float = Field(default=120, gt=0)
    """Seconds that a connection without a request is kept."""
    export_timeout: float = Field(default=60, gt=0)
    """Seconds that a sender waits for the exporters before it is told to try again."""
    stop_timeout: float = Field(default=30, gt=0)
    """Seconds for a graceful stop."""

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.buffered_bytes < 2 * self.body_bytes:
            raise ValueError("limits.buffered_bytes must be at least twice limits.body_bytes")
        return self


class QueueSettings(_Section):
    """What may wait for one exporter."""

    batches: int = Field(default=64, ge=1)
    bytes: int = Field(default=64 * 1024 * 1024, ge=1024)


class ExporterSettings(BaseModel):
    """One exporter: what the host needs, and the rest for the exporter's own `Settings`."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    type: str = Field(min_length=1)
    signals: frozenset[Signal] | None = Field(default=None, min_length=1)
    """The signals that the exporter gets; None: all that its class takes."""
    queue: QueueSettings = QueueSettings()

    @property
    def own(self) -> Mapping[str, Any]:
        """The keys that the exporter's `Settings` validates."""
        return self.model_extra or {}


class HostConfig(_Section):
    """The whole configuration."""

    listeners: tuple[ListenerSettings, ...] = Field(min_length=1)
    exporters: dict[str, ExporterSettings] = Field(min_length=1)
    health: HealthSettings | None = HealthSettings()
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [listener.name for listener in self.listeners]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"two listeners are named {', '.join(doubled)}: give each a name of its own")
        return self
