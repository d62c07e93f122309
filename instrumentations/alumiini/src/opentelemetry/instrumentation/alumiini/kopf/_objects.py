"""The repository that a custom resource describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

from opentelemetry.instrumentation.alumiini.repositories import UNKNOWN, Repository

from assay.instrumentation import Foreign

_URLS = ("url", "repo", "repository", "repoURL", "repoUrl", "gitUrl", "gitRepository")
_BRANCHES = ("branch", "targetRevision", "revision", "ref")
_PARTS = ("source", "git", "repository", "repo")
"""Parts of a spec that may hold these keys instead of the spec itself."""


def repository_of(body: Foreign) -> Repository | None:
    """Return the repository that an object's spec names; None if it names none.

    Args:
        body: The object. Its name is the repository's name.
    """
    spec = body.get("spec")
    if not isinstance(spec, Mapping):
        return None
    whole = cast("Mapping[str, object]", spec)
    for part in _parts(whole):
        url = _text(part, *_URLS)
        if url is not None:
            return Repository(
                body.get("metadata", {}).get("name") or UNKNOWN,
                url,
                _text(part, *_BRANCHES) or _text(whole, *_BRANCHES),
                path=_text(part, "path") or _text(whole, "path"),
                rollout_ref=_rollout(whole),
            )
    return None


def namespace_of(body: Foreign) -> str | None:
    """Return the namespace that an object is synced to: `spec.targetNamespace`, else its own."""
    metadata: Mapping[str, object] = body.get("metadata", {})
    spec = body.get("spec")
    target = (
        _text(cast("Mapping[str, object]", spec), "targetNamespace") if isinstance(spec, Mapping) else None
    )
    return target or _text(metadata, "namespace")


def _rollout(spec: Mapping[str, object]) -> str | None:
    """Return `spec.rolloutRef`, which is a name or an object with a name."""
    reference = spec.get("rolloutRef")
    if isinstance(reference, Mapping):
        return _text(cast("Mapping[str, object]", reference), "name")
    return _text(spec, "rolloutRef")


def _parts(spec: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    """Yield the spec, and those of its parts that may describe a repository."""
    yield spec
    for key in _PARTS:
        part = spec.get(key)
        if isinstance(part, Mapping):
            yield cast("Mapping[str, object]", part)


def _text(part: Mapping[str, object], *keys: str) -> str | None:
    """Return the first value that is a text and not empty."""
    for key in keys:
        value = part.get(key)
        if isinstance(value, str) and value:
            return value
    return None
