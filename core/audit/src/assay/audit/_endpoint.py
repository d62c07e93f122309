"""HTTP requests to an audit endpoint, whose errors name the exporter's settings."""

from __future__ import annotations

import threading
import time

import requests
from opentelemetry import context

from assay.audit import _clock, _tls
from assay.audit._responses import explanation
from assay.audit.errors import ConfigurationError, ConflictError, ExportError, RejectedError
from assay.audit.sessions import ExporterSession
from assay.endpoints import (
    EndpointError,
    check_confidential,
    check_http_url,
    check_token,
    retry_after,
    without_credentials,
)

_OK = 200
_CONFLICT = 409
_REJECTED = frozenset({400, _CONFLICT, 413, 422})
"""Statuses about what a record contains: others are about the settings, or pass."""
_RETRYABLE = frozenset(
    {202, 429, 502, 503, 504}
)  # OTLP "Retryable Response Codes"; audit draft, "Retry Guidance"
_REMEDIES = {
    202: "set the endpoint to one that answers 200 once it has stored the records",
    401: "set token to one that the endpoint accepts",
    403: "set token to one that may send audit records",
}


class Endpoint:
    """One URL. Safe to use from several threads, and after a fork.

    Args:
        url: The whole URL. Plain http is accepted for loopback only.
        token: Bearer token; empty: none is sent.
        certificate: PEM file of the authority of the server's certificate; empty: those of certifi.
        client_certificate: PEM file of the client's certificate, for mTLS.
        client_key: PEM file of its key, without a password; empty: it is in the same file.
        allow_plain_http: Send in the clear over a network: only where something else encrypts it. Refused
            with a token, which anybody on the network could then use.

    Raises:
        ConfigurationError: A setting is invalid.
    """

    def __init__(  # noqa: PLR0913  one argument for each setting
        self,
        url: str,
        *,
        token: str = "",
        certificate: str = "",
        client_certificate: str = "",
        client_key: str = "",
        allow_plain_http: bool = False,
    ) -> None:
        _check_url(url, allow_plain_http=allow_plain_http and not token)
        if token:
            _check_token(token)
        _tls.check_files(certificate, client_certificate, client_key)
        self.url = url
        self.shown = without_credentials(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._verify: str | bool = certificate or True
        self._client = (client_certificate, client_key or client_certificate) if client_certificate else None
        self._local = threading.local()

    def post(self, body: bytes, content_type: str, timeout: float) -> requests.Response:
        """Return the response with status 200.

        Args:
            body: The request's body.
            content_type: Its media type.
            timeout: Seconds to wait at most.

        Raises:
            ConflictError: The status is 409.
            RejectedError: Another status is about what the body contains.
            ExportError: The status is another, or no response came in time.
        """
        headers = {**self._headers, "Content-Type": content_type, "Accept": "application/json"}
        try:
            response = self._post(body, headers, timeout)
        except OSError as error:  # also requests.RequestException
            if (problem := _tls.explain(error)) is not None:
                raise ExportError(f"{self.shown}: {problem}", is_final=True) from error
            detail = without_credentials(str(error))
            raise ExportError(f"{self.shown} did not respond: {_tls.hint(error)} ({detail})") from error
        if response.status_code != _OK:
            raise self._rejection(response)
        return response

    def close(self) -> None:
        """Close this thread's connections."""
        self._session().close()

    def _post(self, body: bytes, headers: dict[str, str], timeout: float) -> requests.Response:
        # Instrumentations must not turn this request into a span or a log record.
        token = context.attach(context.set_value("suppress_instrumentation", value=True))
        sent = time.time()
        try:
            response = self._session().post(
                self.url, data=body, headers=headers, timeout=timeout, allow_redirects=False
            )
        finally:
            context.detach(token)
        _clock.check_offset(response.headers.get("Date"), sent, time.time())
        return response

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

    def _rejection(self, response: requests.Response) -> ExportError:
        status = response.status_code
        kind = ConflictError if status == _CONFLICT else RejectedError if status in _REJECTED else ExportError
        reason = ": ".join(filter(None, (f"{status} {response.reason}", explanation(response))))
        remedy = f". To fix it, {_REMEDIES[status]}" if status in _REMEDIES else ""
        return kind(
            f"{self.shown} answered {reason}{remedy}",
            status,
            is_final=status not in _RETRYABLE,
            retry_after=retry_after(response.headers.get("Retry-After")),
        )


def _check_url(url: str, *, allow_plain_http: bool) -> None:
    try:
        check_http_url(url) if allow_plain_http else check_confidential(url)
    except EndpointError as error:
        raise ConfigurationError(f"endpoint {without_credentials(url)!r}: {error}") from error


def _check_token(token: str) -> None:
    try:
        check_token(token)
    except EndpointError as error:
        raise ConfigurationError(f"token: {error}") from error
