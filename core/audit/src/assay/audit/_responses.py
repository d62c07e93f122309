"""The explanation in a response that rejects records."""

from __future__ import annotations

from typing import Any, cast

import orjson
import requests
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

_LENGTH = 500
_MEMBERS = ("message", "error_description", "error")


def explanation(response: requests.Response) -> str:
    """Return what a response's body says, as one line of printable text of at most 500 characters.

    OTLP servers send a `google.rpc.Status`, in protobuf or JSON (OTLP specification, "Failures"). Other
    servers send text. The length and type of a body that is none of these is returned.
    """
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = response.content
    text = _decoded(kind, body)
    if text is None:
        return f"{len(body)} bytes of {kind or 'unknown type'}"
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())[:_LENGTH]


def _decoded(kind: str, body: bytes) -> str | None:
    try:
        if kind.endswith("protobuf"):
            return Status.FromString(body).message
        if kind.endswith("json"):
            return _message(orjson.loads(body or b"{}"))
        return body.decode()
    except (DecodeError, ValueError):
        return None


def _message(document: Any) -> str:  # noqa: ANN401 - any JSON
    members = cast("dict[str, Any]", document) if isinstance(document, dict) else {}
    texts = (text for name in _MEMBERS if isinstance(text := members.get(name), str))
    return next(texts, orjson.dumps(document).decode())
