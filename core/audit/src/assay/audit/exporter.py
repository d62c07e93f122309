"""Hands records over with OTLP/HTTP, synchronously: what `export` returned from was accepted.

exporter = OTLPAuditExporter("https://collector:4319/v1/audit", token="…", certificate="ca.pem")
"""

from __future__ import annotations

import email.utils
import ipaddress
import os
import random
import threading
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import requests
from google.protobuf.message import DecodeError
from opentelemetry import context
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from assay.audit import tls
from assay.audit.errors import ConfigurationError, ConflictError, ExportError

DEFAULT_ENDPOINT = "http://127.0.0.1:4319/v1/audit"
_ACCEPTED = range(200, 300)
_CONFLICT = 409
_LATER = frozenset({429, 502, 503, 504})  # OTLP specification, "Retryable Response Codes"
_PROTOBUF = "application/x-protobuf"


class OTLPAuditExporter:
    """Posts protobuf to `/v1/audit`. Safe to use from several threads, and after a fork.

    Args:
        endpoint: Whole URL. Plain http is for loopback only.
        token: Bearer token; empty: none is sent.
        certificate: PEM file with the authority of the server's certificate; empty: those that certifi has.
        client_certificate: PEM file with our own certificate, for mTLS.
        client_key: PEM file with its key, without a password; empty: it is in the same file.
        timeout: Seconds until nothing more is tried or waited for.
        retries: How often a refusal that says "later" is tried again.
        allow_plain_http: Records may cross a network in clear: only where something else encrypts it.

    Raises:
        ConfigurationError: A setting does not hold.
    """

    def __init__(  # noqa: PLR0913  one argument for each setting
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        token: str = "",
        certificate: str = "",
        client_certificate: str = "",
        client_key: str = "",
        timeout: float = 10.0,
        retries: int = 5,
        allow_plain_http: bool = False,
    ) -> None:
        _check_endpoint(endpoint, allow_plain_http=allow_plain_http)
        _check_token(token)
        tls.check_files(certificate, client_certificate, client_key)
        if timeout <= 0:
            raise ConfigurationError(f"the timeout is {timeout} s, it must be more than 0")
        if retries < 0:
            raise ConfigurationError(f"retries is {retries}, it must be 0 or more")
        self.endpoint = endpoint
        self._shown = _without_credentials(endpoint)
        self._headers = {"Content-Type": _PROTOBUF, "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._verify: str | bool = certificate or True
        self._client = (client_certificate, client_key or client_certificate) if client_certificate else None
        self._timeout = timeout
        self._retries = retries
        self._local = threading.local()
        self._closed = threading.Event()

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Hand over a batch: all of it was accepted, or an error is raised.

        Returns:
            The sink's receipts, when the sink itself answered; else nothing.

        Raises:
            ConflictError: The log holds another record under one of the ids.
            ExportError: It was refused, partly refused, or there was no answer in time.
        """
        body = request.SerializeToString()
        deadline = time.monotonic() + self._timeout
        delay = 1.0
        for attempt in range(self._retries + 1):
            try:
                response = self._post(body, max(deadline - time.monotonic(), 0.001))
            except OSError as error:  # requests.RequestException is one
                if (problem := tls.explain(error)) is not None:
                    raise ExportError(f"{self._shown}: {problem}") from error
                failure, wait = self._unreachable(error), delay * random.uniform(0.5, 1.0)  # noqa: S311  jitter
            else:
                if response.status_code in _ACCEPTED:
                    return self._accepted(response)
                failure, wait = self._refused(response), _retry_after(response)
                if response.status_code not in _LATER:
                    raise failure
                wait = delay * random.uniform(0.5, 1.0) if wait is None else wait  # noqa: S311  jitter
            if attempt == self._retries or time.monotonic() + wait >= deadline or self._closed.wait(wait):
                raise failure
            delay *= 2
        raise AssertionError("unreachable")  # pragma: no cover

    def shutdown(self) -> None:
        """End waiting for a retry, and close this thread's connections."""
        self._closed.set()
        self._session().close()

    def _post(self, body: bytes, timeout: float) -> requests.Response:
        # Its own request is not to become a span, nor through it a record.
        token = context.attach(context.set_value("suppress_instrumentation", value=True))
        try:
            return self._session().post(
                self.endpoint, data=body, headers=self._headers, timeout=timeout, allow_redirects=False
            )
        finally:
            context.detach(token)

    def _session(self) -> requests.Session:
        """One for each thread and process: a connection that crosses a fork would serve two masters."""
        if getattr(self._local, "process", None) != os.getpid():
            session = requests.Session()
            session.verify = self._verify
            session.cert = self._client
            # The environment's proxies and .netrc have no say in where records go and with which credentials.
            session.trust_env = False
            self._local.session, self._local.process = session, os.getpid()
        return cast("requests.Session", self._local.session)

    def _accepted(self, response: requests.Response) -> list[Mapping[str, Any]]:
        receipts: list[Mapping[str, Any]] = []
        try:
            if "json" in response.headers.get("Content-Type", ""):
                answer: dict[str, Any] = orjson.loads(response.content or b"{}")
                partial: dict[str, Any] = answer.get("partialSuccess") or {}
                rejected, message = (
                    int(partial.get("rejectedLogRecords") or 0),
                    partial.get("errorMessage", ""),
                )
                given: list[Mapping[str, Any]] = answer.get("receipts") or []
                receipts = [dict(receipt) for receipt in given]
            else:
                success = ExportLogsServiceResponse.FromString(response.content).partial_success
                rejected, message = success.rejected_log_records, success.error_message
        except (ValueError, TypeError, AttributeError, DecodeError) as error:
            raise ExportError(f"{self._shown} answered {response.status_code} with no OTLP answer") from error
        if rejected:
            raise ExportError(
                f"{self._shown} refused {rejected} of the records ({message}): none counts as accepted",
                response.status_code,
            )
        return receipts

    def _refused(self, response: requests.Response) -> ExportError:
        kind = ConflictError if response.status_code == _CONFLICT else ExportError
        reason = response.content[:500].decode(errors="replace").strip()
        return kind(
            f"{self._shown} answered {response.status_code} {response.reason}: {reason}",
            response.status_code,
        )

    def _unreachable(self, error: OSError) -> ExportError:
        failure = ExportError(f"{self._shown} did not answer: {tls.hint(error)} ({error})")
        failure.__cause__ = error
        return failure


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that `Retry-After` asks for: a number, or a date (RFC 9110 section 10.2.3)."""
    header = response.headers.get("Retry-After", "")
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError):
        return None


def _check_endpoint(endpoint: str, *, allow_plain_http: bool) -> None:
    shown = _without_credentials(endpoint)
    try:
        url = urlsplit(endpoint)
        host = url.hostname or ""
        _ = url.port
    except ValueError as error:
        raise ConfigurationError(f"the audit endpoint {shown!r} is no URL: {error}") from error
    if url.scheme not in {"http", "https"} or not host:
        raise ConfigurationError(f"the audit endpoint {shown!r} must be an http or https URL with a host")
    if url.scheme == "http" and not allow_plain_http and not _is_loopback(host):
        raise ConfigurationError(
            f"the audit endpoint {shown} would send records in clear over a network: use https"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_token(token: str) -> None:
    if not token.isascii() or not token.isprintable() or token != token.strip():
        raise ConfigurationError(
            "the token has a character that no header carries, such as the line end of its file:"
            " pass printable ASCII without spaces around it"
        )


def _without_credentials(endpoint: str) -> str:
    """Return the endpoint as it may be shown."""
    scheme, separator, rest = endpoint.partition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"
