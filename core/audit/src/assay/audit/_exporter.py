"""Exports records over OTLP/HTTP. When `export` returns, all of them are accepted.

exporter = OTLPAuditExporter("https://collector:4319/v1/audit", token="…", certificate="ca.pem")
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
import requests
from google.protobuf.message import DecodeError
from opentelemetry import context
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from assay.audit import _tls
from assay.audit._responses import explanation
from assay.audit.errors import ConfigurationError, ConflictError, ExportError
from assay.audit.sessions import ExporterSession
from assay.endpoints import (
    EndpointError,
    check_confidential,
    check_http_url,
    check_token,
    retry_after,
    without_credentials,
)

DEFAULT_ENDPOINT = "http://127.0.0.1:4319/v1/audit"
_ACCEPTED = range(200, 300)
_CONFLICT = 409
_RETRYABLE = frozenset({429, 502, 503, 504})  # OTLP specification, "Retryable Response Codes"
_REMEDIES = {
    401: "set token to one that the endpoint accepts",
    403: "set token to one that may send audit records",
}
_PROTOBUF = "application/x-protobuf"


class OTLPAuditExporter:
    """Posts protobuf to `/v1/audit`. Safe to use from several threads, and after a fork.

    Args:
        endpoint: The whole URL. Plain http is accepted for loopback only.
        token: Bearer token; empty: none is sent.
        certificate: PEM file of the authority of the server's certificate; empty: those of certifi.
        client_certificate: PEM file of the client's certificate, for mTLS.
        client_key: PEM file of its key, without a password; empty: it is in the same file.
        timeout: Seconds after which nothing is retried or waited for.
        retries: How often a retryable failure is retried.
        allow_plain_http: Send records in the clear over a network: only where something else encrypts it.

    Raises:
        ConfigurationError: A setting is invalid.
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
        if token:
            _check_token(token)
        _tls.check_files(certificate, client_certificate, client_key)
        if timeout <= 0:
            raise ConfigurationError(f"timeout is {timeout} s; it must be more than 0")
        if retries < 0:
            raise ConfigurationError(f"retries is {retries}; it must be 0 or more")
        self.endpoint = endpoint
        self._shown = without_credentials(endpoint)
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
        """Hand over a batch. Either all of it is accepted, or an error is raised.

        Returns:
            The sink's receipts if the sink itself answered, else an empty list.

        Raises:
            ConflictError: The log holds a different record under one of the ids.
            ExportError: The batch was rejected as a whole or in part, or no response came in time.
        """
        body = request.SerializeToString()
        deadline = time.monotonic() + self._timeout
        delay = 1.0
        for attempt in range(self._retries + 1):
            try:
                return self._attempt(body, max(deadline - time.monotonic(), 0.001))
            except ExportError as error:
                wait = error.retry_after
                wait = delay * random.uniform(0.5, 1.0) if wait is None else wait  # noqa: S311  jitter
                is_last = error.is_final or attempt == self._retries or time.monotonic() + wait >= deadline
                if is_last or self._closed.wait(wait):
                    raise
            delay *= 2
        raise AssertionError("unreachable")  # pragma: no cover

    def shutdown(self) -> None:
        """End waiting for a retry, and close this thread's connections."""
        self._closed.set()
        self._session().close()

    def _attempt(self, body: bytes, timeout: float) -> list[Mapping[str, Any]]:
        try:
            response = self._post(body, timeout)
        except OSError as error:  # also requests.RequestException
            if (problem := _tls.explain(error)) is not None:
                raise ExportError(f"{self._shown}: {problem}", is_final=True) from error
            detail = without_credentials(str(error))
            raise ExportError(f"{self._shown} did not respond: {_tls.hint(error)} ({detail})") from error
        if response.status_code not in _ACCEPTED:
            raise self._rejection(response)
        return self._receipts(response)

    def _post(self, body: bytes, timeout: float) -> requests.Response:
        # Instrumentations must not turn this request into a span or a log record.
        token = context.attach(context.set_value("suppress_instrumentation", value=True))
        try:
            return self._session().post(
                self.endpoint, data=body, headers=self._headers, timeout=timeout, allow_redirects=False
            )
        finally:
            context.detach(token)

    def _session(self) -> ExporterSession:
        """Return this thread's session: a `requests.Session` is not safe to share between threads."""
        session: ExporterSession | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = ExporterSession()
            session.verify = self._verify
            session.cert = self._client
            # Proxies and .netrc of the environment decide neither where records go nor with which token.
            session.trust_env = False
        return session

    def _receipts(self, response: requests.Response) -> list[Mapping[str, Any]]:
        receipts: list[Mapping[str, Any]] = []
        try:
            if "json" in response.headers.get("Content-Type", ""):
                answer: dict[str, Any] = orjson.loads(response.content or b"{}")
                partial: dict[str, Any] = answer.get("partialSuccess") or {}
                rejected = int(partial.get("rejectedLogRecords") or 0)
                message = partial.get("errorMessage", "")
                given: list[Mapping[str, Any]] = answer.get("receipts") or []
                receipts = [dict(receipt) for receipt in given]
            else:
                success = ExportLogsServiceResponse.FromString(response.content).partial_success
                rejected, message = success.rejected_log_records, success.error_message
        except (ValueError, TypeError, AttributeError, DecodeError) as error:
            raise ExportError(
                f"{self._shown} answered {response.status_code}, but not in OTLP: check the endpoint",
                response.status_code,
                is_final=True,
            ) from error
        if rejected:
            raise ExportError(
                f"{self._shown} rejected {rejected} of the records ({message}): treat none as accepted",
                response.status_code,
                is_final=True,
            )
        return receipts

    def _rejection(self, response: requests.Response) -> ExportError:
        status = response.status_code
        kind = ConflictError if status == _CONFLICT else ExportError
        reason = ": ".join(filter(None, (f"{status} {response.reason}", explanation(response))))
        remedy = f". To fix it, {_REMEDIES[status]}" if status in _REMEDIES else ""
        return kind(
            f"{self._shown} answered {reason}{remedy}",
            status,
            is_final=status not in _RETRYABLE,
            retry_after=retry_after(response.headers.get("Retry-After")),
        )


def _check_endpoint(endpoint: str, *, allow_plain_http: bool) -> None:
    try:
        check_http_url(endpoint) if allow_plain_http else check_confidential(endpoint)
    except EndpointError as error:
        raise ConfigurationError(f"endpoint {without_credentials(endpoint)!r}: {error}") from error


def _check_token(token: str) -> None:
    try:
        check_token(token)
    except EndpointError as error:
        raise ConfigurationError(f"token: {error}") from error
