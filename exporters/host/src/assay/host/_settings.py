"""The settings of the host, with their bounds. `_config` loads them from a file.

`reference` writes the tables in the README from the fields and their descriptions.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import Self

from assay.endpoints import is_loopback, parse_address
from assay.host._fields import Address, Secret
from assay.host.exporter import Peer, Signal


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Token(_Section):
    """A bearer token that may send some signals only."""

    token: Secret = Field(description="The bearer token.")
    signals: frozenset[Signal] = Field(min_length=1, description="The signals that it may send.")


class AuthSettings(_Section):
    """Authentication of senders: one bearer token, or several by name."""

    bearer: Secret | dict[str, Secret | Token] = Field(
        min_length=1,
        description="Bearer token that senders must present; or several by name, each a token, or a token"
        " with the signals that it may send.",
    )

    @model_validator(mode="after")
    def _check_tokens_differ(self) -> Self:
        names: dict[str, str] = {}
        for name, value in self.bearer.items() if isinstance(self.bearer, dict) else ():
            token = (value.token if isinstance(value, Token) else value).get_secret_value()
            if (other := names.setdefault(token, name)) != name:
                raise ValueError(f"{other} and {name} have the same token: give each its own")
        return self


class TLSSettings(_Section):
    """TLS certificates of a listener, as PEM files."""

    certificate: Path = Field(description="PEM file of the listener's certificate chain.")
    key: Path = Field(description="PEM file of its private key, without a password.")
    client_ca: Path | None = Field(
        default=None,
        description="PEM file of the authority that must have issued the certificate of each client (mTLS).",
    )

    @model_validator(mode="after")
    def _check_usable(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            # With a password callback OpenSSL does not ask for one on the terminal.
            context.load_cert_chain(self.certificate, self.key, password=lambda: "")
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except OSError as error:  # includes ssl.SSLError
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path)
            raise ValueError(
                f"cannot use {files} as PEM certificate and key without a password: {error}"
            ) from error
        return self


class ListenerSettings(_Section):
    """An address at which the host receives batches."""

    name: str = Field(min_length=1, description="Names the listener in logs and metrics.")
    protocol: Literal["grpc", "http"] = Field(description="OTLP over gRPC or over HTTP.")
    address: Address = Field(description="`host:port` to listen on; port 0 takes any free port.")
    peer: Peer = Field(
        default="direct",
        description="The kind of senders. A `collector` drops a batch that is refused permanently, so the"
        " host answers it with 503 unless a non-audit batch is malformed.",
    )
    auth: AuthSettings | None = Field(default=None, description="Authentication by bearer token.")
    tls: TLSSettings | None = Field(default=None, description="TLS; without it the listener is plain.")

    @model_validator(mode="after")
    def _check_authentication(self) -> Self:
        has_authentication = self.auth is not None or (
            self.tls is not None and self.tls.client_ca is not None
        )
        if not has_authentication and not is_loopback(parse_address(self.address).host):
            raise ValueError(
                f"other machines can reach {self.address} without authentication: add auth.bearer or"
                " tls.client_ca, or listen on 127.0.0.1"
            )
        return self


class HealthSettings(_Section):
    """The health listener, which has no authentication."""

    address: Address = Field(
        default="127.0.0.1:13134",
        description="`host:port` of `/health`, `/health/ready` and `/health/detailed`.",
    )
    reachable_without_authentication: bool = Field(
        default=False,
        description="Allows an address that other machines can reach, for example for a cluster's probes.",
    )

    @model_validator(mode="after")
    def _check_reach(self) -> Self:
        if not self.reachable_without_authentication and not is_loopback(parse_address(self.address).host):
            raise ValueError(
                f"other machines can reach {self.address}, and health has no authentication: listen on"
                " 127.0.0.1, or set reachable_without_authentication: true"
            )
        return self


class LimitSettings(_Section):
    """Limits that no sender can exceed."""

    body_bytes: int = Field(
        default=32 * 1024 * 1024,
        ge=1024,
        le=1024 * 1024 * 1024,
        description="Bytes of one body, as sent and when decompressed. Beyond it: 413.",
    )
    # A gRPC message counts when it has been received as a whole; until then `concurrent_requests` limits
    # them.
    buffered_bytes: int = Field(
        default=128 * 1024 * 1024,
        ge=1024,
        description="Bytes of all bodies that are being read or parsed, at least twice `body_bytes`: once for"
        " audit requests, once for the others. One sender may have half. Beyond it: 429.",
    )
    messages: int = Field(
        default=1_000_000,
        ge=1000,
        description="Nested messages of one request, or values of a JSON request. A message may take two"
        " bytes in the body and a hundred in memory. Beyond it: 413.",
    )
    depth: int = Field(
        default=64,
        ge=8,
        le=100,  # the protobuf library's limit
        description="Nested messages, including the request. Beyond it: 400.",
    )
    header_bytes: int = Field(
        default=16 * 1024,
        ge=1024,
        le=1024 * 1024,
        description="Bytes of a request's headers. Beyond it: 431 or, before they are complete, 400.",
    )
    concurrent_requests: int = Field(
        default=128,
        ge=1,
        description="Requests of one listener that are being read or parsed: once for audit requests, once"
        " for the others. One sender may have half. Beyond it: 429.",
    )
    connections: int = Field(
        default=1024,
        ge=1,
        description="Open connections of one listener, fewer if the process may not open so many files"
        " (`RLIMIT_NOFILE`). One sender may have half: beyond it 429. One address may have half without an"
        " authenticated request: beyond it the oldest of these is closed.",
    )
    read_timeout: float = Field(
        default=30,
        gt=0,
        description="Seconds for receiving the headers, and again for the body. Beyond it the connection is"
        " closed, or the answer is 408.",
    )
    idle_timeout: float = Field(
        default=120, gt=0, description="Seconds until a connection without a request is closed."
    )
    export_timeout: float = Field(
        default=60, gt=0, description="Seconds that a sender waits for the exporters. Beyond it: 503."
    )
    stop_timeout: float = Field(
        default=30, gt=0, description="Seconds for a graceful stop. Senders resend what is left."
    )

    @model_validator(mode="after")
    def _check_one_body_fits(self) -> Self:
        if self.buffered_bytes < 2 * self.body_bytes:
            raise ValueError("limits.buffered_bytes must be at least twice limits.body_bytes")
        return self


class QueueSettings(_Section):
    """The queue of one exporter."""

    batches: int = Field(
        default=64, ge=1, description="Batches that wait or are being exported. Beyond it: 429."
    )
    bytes: int = Field(
        default=256 * 1024 * 1024, ge=1024, description="Their bytes in memory, estimated. Beyond it: 429."
    )


class ExporterSettings(BaseModel):
    """One exporter: the keys of the host, and further keys for the exporter's own `Settings`."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    type: str = Field(
        min_length=1,
        description="Name of an installed exporter, or `module:Class`. Further keys are its own.",
    )
    signals: frozenset[Signal] | None = Field(
        default=None,
        min_length=1,
        description="The signals that it gets; by default all that its class accepts.",
    )
    queue: QueueSettings = QueueSettings()

    @property
    def own(self) -> Mapping[str, Any]:
        """The keys that the exporter's `Settings` validates."""
        return self.model_extra or {}


class HostConfig(_Section):
    """The configuration of a host."""

    listeners: tuple[ListenerSettings, ...] = Field(min_length=1)
    exporters: dict[str, ExporterSettings] = Field(min_length=1)
    health: HealthSettings | None = Field(
        default=HealthSettings(), description="The health listener; `null` for none."
    )
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _check_names_differ(self) -> Self:
        names = [listener.name for listener in self.listeners]
        duplicates = sorted({name for name in names if names.count(name) > 1})
        if duplicates:
            raise ValueError(f"two listeners are named {', '.join(duplicates)}: give each its own name")
        return self
