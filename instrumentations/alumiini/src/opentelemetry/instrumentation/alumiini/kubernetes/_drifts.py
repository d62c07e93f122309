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

from opentelemetry.instrumentation.alumiini.kubernetes._writes import Target

from assay.instrumentation import Foreign

_APPLY = "application/apply-patch+yaml"
_DECODER = json.JSONDecoder()
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

    def is_corrected_by(self, target: Target, manifest: object, answer: Foreign) -> bool:
        """Return whether a server-side apply that succeeded has corrected drift.

        Args:
            target: The resource.
            manifest: The body of the request.
            answer: The API server's answer, with its body (`load`).
        """
        data: object = getattr(answer, "data", None)
        manager = target.field_manager
        if not isinstance(data, (bytes, str)) or manager is None:
            return False
        key = (target.path, manager)
        stated, digest = hash(repr(manifest)), hash(data)
        last = self._applied.get(key)
        if last is not None and last.answer == digest and last.manifest == stated:
            return False
        now = _read(data, manager, stated, digest)
        self._remember(key, now)
        return (
            last is not None
            and now is not None
            and last.manifest == stated
            and (last.uid, last.time) != (now.uid, now.time)
        )

    def _remember(self, key: tuple[str, str], applied: _Applied | None) -> None:
        self._applied.pop(key, None)
        if applied is not None:
            self._applied[key] = applied
        if len(self._applied) > _LIMIT:
            self._applied.popitem(last=False)


def is_server_side_apply(headers: Foreign) -> bool:
    """Return whether a request is a server-side apply, by its content type."""
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
    text = data if isinstance(data, str) else data.decode()
    metadata = _DECODER.raw_decode(text)[0]["metadata"]
    for entry in metadata.get("managedFields", ()):
        if (entry["manager"], entry["operation"]) == (manager, "Apply") and not entry.get("subresource"):
            return _Applied(manifest, digest, metadata["uid"], entry["time"])
    return None
