"""The HTTP sink: CloudEvents over HTTP, in structured or binary mode, one event a request.

Source: CloudEvents v1.0.2 `bindings/http-protocol-binding.md`; RFC 9110 (status codes, Retry-After).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

import requests
from pydantic import AfterValidator, Field, FilePath, SecretStr
from requests.auth import AuthBase

from assay.exporters.cdevents import cloudevents
from assay.exporters.cdevents.errors import DeliveryFailed, DeliveryRefused, SinkUnavailable
from assay.exporters.cdevents.outbox import Letter
from assay.exporters.cdevents.sinks import SinkSettings

_UNAVAILABLE = frozenset({401, 403, 404, 407, 429, 502, 503, 504})
"""Answers that speak of the receiver, its address or our credentials, and not of the event."""
_AGAIN = frozenset({408, 421, 423, 425})
_MAXIMUM_WAIT = 3600.0
_REASON = 200


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("is no http:// or https:// address")
    if parts.username or parts.password:
        raise ValueError("holds credentials: set `token` instead")
    return url


def _header(token: SecretStr) -> SecretStr:
    # The HTTP client would name the whole header, token included, in its error.
    if not re.fullmatch(r"[\x21-\x7e]+", token.get_secret_value()):
        raise ValueError("holds what no header may: use visible ASCII characters, and no line end")
    return token


class HTTPSettings(SinkSettings, extra="forbid", frozen=True, hide_input_in_errors=True):
    """A receiver of CloudEvents."""

    type: Literal["http"]
    url: Annotated[str, AfterValidator(_http)]
    mode: Literal["structured", "binary"] = "structured"
    token: Annotated[SecretStr, AfterValidator(_header)] | None = Field(
        default=None, description="Sent as bearer token."
    )
    ca: FilePath | None = Field(
        default=None, description="PEM file of the authorities to trust, not the system's."
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds for the connection, and for each read.")

    @property
    def title(self) -> str:
        """The sink's name."""
        parts = urlsplit(self.url)
        return self.name or f"http:{parts.scheme}://{parts.netloc}{parts.path}"


class HTTPSink:
    """Posts events.

    Args:
        settings: Where and how.
    """

    batch = 1

    def __init__(self, settings: HTTPSettings) -> None:
        self._settings = settings
        self._session = requests.Session()
        # Set here and not by header: requests lets a .netrc overrule a header.
        self._session.auth = _Bearer(settings.token)

    def send(self, letters: Sequence[Letter]) -> None:
        """Post the letter."""
        for letter in letters:
            headers, body = _message(letter, self._settings.mode)
            try:
                with self._session.post(
                    self._settings.url,
                    data=body,
                    headers=headers,
                    timeout=self._settings.timeout,
                    verify=True if self._settings.ca is None else str(self._settings.ca),
                    allow_redirects=False,
                    stream=True,
                ) as response:
                    _judge(response)
            except (requests.RequestException, OSError) as error:
                raise SinkUnavailable(
                    f"{self._settings.title}: {type(error).__name__}: {_without_query(error)}"
                ) from error

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


class _Bearer(AuthBase):
    def __init__(self, token: SecretStr | None) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token.get_secret_value()}"
        return request


def _message(letter: Letter, mode: str) -> tuple[dict[str, str], bytes]:
    if mode == "structured":
        return {"content-type": f"{cloudevents.STRUCTURED}; charset=UTF-8"}, letter.document.encode()
    document = json.loads(letter.document)
    body = json.dumps(document["data"], ensure_ascii=False, separators=(",", ":"))
    return cloudevents.headers(document), body.encode()


def _judge(response: requests.Response) -> None:
    """Return for an answer that takes the event; raise what any other one means."""
    status = response.status_code
    if 200 <= status < 300:  # noqa: PLR2004  the class of status codes that RFC 9110 calls successful
        return
    said = _said(response)
    reason = f"answered {status} {response.reason}{f': {said}' if said else ''}"
    after = retry_after(response.headers.get("Retry-After"))
    if status in _UNAVAILABLE or after is not None:
        raise SinkUnavailable(reason, after)
    if status in _AGAIN or status >= 500:  # noqa: PLR2004  server errors, as above
        raise DeliveryFailed(reason)
    raise DeliveryRefused(reason)


def _said(response: requests.Response) -> str:
    """Return the beginning of an answer's body in one line; what is cut off or cannot be decoded is none."""
    try:
        body: bytes = next(response.iter_content(_REASON), b"")
    except requests.RequestException:
        return ""
    return " ".join(body.decode("utf-8", "replace").split())


def _without_query(error: Exception) -> str:
    """Return what went wrong without the URL's query, which may hold a key."""
    return re.sub(r"\?[^\s'\")]*", "", str(error))


def retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Return the seconds that Retry-After asks for (RFC 9110, 10.2.3), at most an hour; None for none."""
    if value is None:
        return None
    try:
        if value.strip().isdecimal():
            seconds = float(value)
        else:
            when = parsedate_to_datetime(value)
            when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
            seconds = (when - (now or datetime.now(timezone.utc))).total_seconds()
    except ValueError:
        return None
    return min(max(seconds, 0.0), _MAXIMUM_WAIT)
