"""The HTTP sink: posts CloudEvents in structured or binary mode, one event a request.

Source: CloudEvents v1.0.2 `bindings/http-protocol-binding.md`; RFC 9110 (status codes, Retry-After).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from pydantic import AfterValidator, Field, FilePath

from assay.endpoints import check_http_url, retry_after, without_credentials
from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents._outbox import OutboxEntry
from assay.exporters.cdevents._sinks import SinkSettings
from assay.exporters.cdevents.errors import DeliveryFailed, DeliveryRefused, SinkUnavailable
from assay.host import Secret
from assay.host.escaping import escaped

_UNAVAILABLE = frozenset({401, 403, 404, 407, 429, 502, 503, 504})
"""Statuses that concern the receiver, its address or our credentials, not the event."""
_RETRYABLE = frozenset({408, 421, 423, 425})
"""Statuses below 500 that concern this event and may change."""
_MAXIMUM_WAIT = 3600.0
"""Longest wait in seconds that a receiver can request."""
_BODY_BYTES = 16 * 1024
"""Bytes of a response's body that are read so that the connection can be kept."""
_EXCERPT_BYTES = 200
"""Bytes of a response's body that a message quotes."""


def _check_url(url: str) -> str:
    if "@" in urlsplit(check_http_url(url)).netloc:
        raise ValueError("the URL holds credentials: use the setting `token` instead")
    return url


class HTTPSettings(SinkSettings, extra="forbid", frozen=True, hide_input_in_errors=True):
    """The settings of an HTTP sink."""

    type: Literal["http"]
    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="The receiver's URL, http or https, without user name and password."
    )
    mode: Literal["structured", "binary"] = Field(
        default="structured", description="Content mode of the CloudEvents HTTP binding."
    )
    token: Secret | None = Field(default=None, description="Bearer token to send.")
    ca: FilePath | None = Field(
        default=None, description="PEM file of the authorities to trust instead of the system's."
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds for connecting, and for each read.")

    @property
    def title(self) -> str:
        """The sink's name."""
        parts = urlsplit(self.url)
        return self.name or f"http:{parts.scheme}://{parts.netloc}{parts.path}"


class HTTPSink:
    """Posts events to a receiver.

    Args:
        settings: The sink's settings.
    """

    batch = 1

    def __init__(self, settings: HTTPSettings) -> None:
        self._settings = settings
        self._token = settings.token
        self._pool = _pool(settings)

    def send(self, entries: Sequence[OutboxEntry]) -> None:
        """Post the entries, each in a request of its own.

        Raises:
            SinkUnavailable: The receiver cannot be reached, or accepts nothing at present.
            DeliveryFailed: The receiver failed to process this event.
            DeliveryRefused: The receiver refuses this event.
        """
        for entry in entries:
            headers, body = _message(entry, self._settings.mode)
            if self._token is not None:
                headers["authorization"] = f"Bearer {self._token.get_secret_value()}"
            try:
                response = self._pool.request(
                    "POST",
                    self._settings.url,
                    body=body,
                    headers=headers,
                    redirect=False,
                    retries=False,
                    preload_content=False,
                    decode_content=False,
                )
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise SinkUnavailable(
                    f"{self._settings.title}: {type(error).__name__}: {without_credentials(str(error))}"
                ) from error
            _check_response(response)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


def _pool(settings: HTTPSettings) -> urllib3.PoolManager:
    """Return a pool of connections to the receiver, through the proxy that the environment names, if any."""
    url = urlsplit(settings.url)
    options: dict[str, Any] = {
        "maxsize": 1,
        "timeout": urllib3.Timeout(settings.timeout),
        "ca_certs": None if settings.ca is None else str(settings.ca),
    }
    proxy = getproxies().get(url.scheme)
    if proxy and not proxy_bypass(url.netloc):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _message(entry: OutboxEntry, mode: str) -> tuple[dict[str, str], bytes]:
    if mode == "structured":
        # Without a charset, which JSON does not have: some SDKs compare the media type as a whole.
        return {"content-type": cloudevents.STRUCTURED}, entry.document.encode()
    document = json.loads(entry.document)
    body = json.dumps(document["data"], ensure_ascii=False, separators=(",", ":"))
    return cloudevents.headers(document), body.encode()


def _check_response(response: urllib3.BaseHTTPResponse) -> None:
    """Return if the receiver has accepted the event; otherwise raise the matching error."""
    status, excerpt = response.status, _excerpt(response)
    if 200 <= status < 300:  # noqa: PLR2004  the successful status codes of RFC 9110
        return
    reason = f"answered {status} {response.reason or ''}{f': {excerpt}' if excerpt else ''}"
    after = retry_after(response.headers.get("Retry-After"))
    if status in _UNAVAILABLE or after is not None:
        raise SinkUnavailable(reason, None if after is None else min(after, _MAXIMUM_WAIT))
    if status in _RETRYABLE or status >= 500:  # noqa: PLR2004  the server errors of RFC 9110
        raise DeliveryFailed(reason)
    raise DeliveryRefused(reason)


def _excerpt(response: urllib3.BaseHTTPResponse) -> str:
    """Return the start of a response's body on one line; empty if the body cannot be read.

    The connection is kept if the body was not longer than what is read here.
    """
    try:
        body = response.read(_BODY_BYTES)
        if response.read(1):
            response.close()
    except (urllib3.exceptions.HTTPError, OSError):
        response.close()
        return ""
    finally:
        response.release_conn()
    return escaped(" ".join(body[:_EXCERPT_BYTES].decode("utf-8", "replace").split()))
