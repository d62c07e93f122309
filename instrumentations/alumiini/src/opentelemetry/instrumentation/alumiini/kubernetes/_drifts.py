"""Drift that a server-side apply has corrected, by what the API server records of the object.

The API server keeps for each field manager when it last changed the value of a field of its own
(`metadata.managedFields`; Kubernetes, "Server-Side Apply", "Field management"). An apply that changes nothing
leaves this time as it is. So if the same manifest is applied again and the time is another one, somebody had
changed or removed what the manifest states; if the object has another uid, somebody had deleted it.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple, cast

from opentelemetry.instrumentation.alumiini.kubernetes._writes import Request

from assay.instrumentation import Foreign

_APPLY = "application/apply-patch+yaml"
_LIMIT = 10_000
"""Objects whose last apply is remembered; those that were applied longest ago are forgotten."""


class _Applied(NamedTuple):
    """The last apply of an object.

    Args:
        manifest: Hash of the manifest.
        answer: Hash of the API server's answer.
        uid: The object's uid.
        time: When the field manager last changed a field of its own.
    """

    manifest: int
    answer: int
    uid: str
    time: str


class Drifts:
    """The last server-side apply of each object, in this process."""

    def __init__(self) -> None:
        self._applied: OrderedDict[tuple[str, str], _Applied] = OrderedDict()

    def is_corrected_by(self, request: Request, answer: Foreign) -> bool:
        """Return whether a request that succeeded has corrected drift.

        Args:
            request: The request.
            answer: The API server's answer, with its body (`load`).
        """
        if not is_server_side_apply(request):
            return False
        data: object = getattr(answer, "data", None)
        managers = request.query_values("fieldManager")
        if not isinstance(data, (bytes, str)) or not managers:
            return False
        key = (request.url.partition("?")[0], managers[0])
        manifest, digest = hash(repr(request.body)), hash(data)
        last = self._applied.get(key)
        if last is not None and last.answer == digest and last.manifest == manifest:
            return False
        now = _read(data, managers[0], manifest, digest)
        self._remember(key, now)
        return (
            last is not None
            and now is not None
            and last.manifest == manifest
            and (last.uid, last.time) != (now.uid, now.time)
        )

    def _remember(self, key: tuple[str, str], applied: _Applied | None) -> None:
        self._applied.pop(key, None)
        if applied is not None:
            self._applied[key] = applied
        if len(self._applied) > _LIMIT:
            self._applied.popitem(last=False)


def is_server_side_apply(request: Request) -> bool:
    """Return whether a request is a server-side apply, by its content type."""
    headers = request.headers
    return isinstance(headers, Mapping) and cast("Mapping[str, str]", headers).get("Content-Type") == _APPLY


def load(answer: Foreign) -> None:
    """Read the body of an answer now, which a blocking client would read next and which the answer keeps.

    Raises:
        Exception: What the client would raise.
    """
    if getattr(answer, "data", None) is None and hasattr(answer, "response"):  # newer clients
        answer.read()


async def load_async(answer: Foreign) -> None:
    """Do the same for an answer of an asynchronous client."""
    if getattr(answer, "data", None) is None and hasattr(answer, "response"):
        await answer.read()


def _read(data: bytes | str, manager: str, manifest: int, digest: int) -> _Applied | None:
    metadata = cast("dict[str, Foreign]", json.loads(data))["metadata"]
    for entry in metadata.get("managedFields", ()):
        if (entry["manager"], entry["operation"]) == (manager, "Apply") and not entry.get("subresource"):
            return _Applied(manifest, digest, metadata["uid"], entry["time"])
    return None
