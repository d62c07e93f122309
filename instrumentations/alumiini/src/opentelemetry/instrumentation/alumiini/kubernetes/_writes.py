"""Recognise the requests that apply a resource, by their method and URL (Kubernetes, "API Concepts")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import parse_qsl, unquote, urlsplit

from opentelemetry.instrumentation.alumiini.kubernetes import _kinds

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PATH = re.compile(
    r"/(?:api/v[^/]+|apis/(?P<group>[^/]+)/v[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/[^/]+))?"
    r"/(?P<plural>[^/]+)(?:/(?P<name>[^/]+))?(?P<subresource>/.+)?$"
)
_NOT_APPLIED = frozenset({"events", "leases"})
"""Resources that clients write about themselves: events and locks."""
_QUESTIONS = frozenset({"authentication.k8s.io", "authorization.k8s.io"})
"""Groups whose objects are questions to the API server."""
_OF_NAMESPACES = frozenset({"status", "finalize"})


@dataclass(frozen=True, slots=True)
class Write:
    """A request that applies a resource.

    Args:
        group: API group; empty for the core group.
        plural: The resource's name in URLs.
        stated_kind: The kind that the body states.
        name: Name of the resource.
        namespace: Its namespace; None for a resource of the cluster.
    """

    group: str
    plural: str
    stated_kind: str | None
    name: str | None
    namespace: str | None

    @property
    def kind(self) -> str:
        """The kind: the known one, else the stated one, else the name in URLs."""
        return _kinds.known_kind(self.group, self.plural) or self.stated_kind or self.plural

    @property
    def verified_kind(self) -> str:
        """The kind without what only the body states, which may be any text if the request was refused."""
        return _kinds.known_kind(self.group, self.plural) or self.plural

    def accepted(self) -> None:
        """Note that the API server has accepted the request."""
        if self.stated_kind is not None and _kinds.known_kind(self.group, self.plural) is None:
            _kinds.learn(self.group, self.plural, self.stated_kind)


def parse(method: object, url: object, query: object, body: object) -> Write | None:
    """Return what a request applies; None for a read, a dry run, a subresource, or a question.

    Args:
        method: HTTP method.
        url: URL.
        query: Query parameters that are not in the URL, as pairs or a mapping.
        body: Body before it is encoded.
    """
    if str(method).upper() not in _METHODS:
        return None
    parts = urlsplit(str(url))
    found = _PATH.search(parts.path)
    if found is None or _is_dry_run(parts.query, query):
        return None
    group, plural, name = found["group"] or "", found["plural"], found["name"]
    if found["subresource"] or plural in _NOT_APPLIED or group in _QUESTIONS:
        return None
    if found["namespace"] and plural in _OF_NAMESPACES and not name:
        return None
    is_delete = str(method).upper() == "DELETE"
    kind, stated_name = (None, None) if is_delete else _stated(body)
    return Write(
        group, plural, kind, unquote(name) if name else stated_name, unquote(found["namespace"] or "") or None
    )


def _stated(body: object) -> tuple[str | None, str | None]:
    """Return the kind and the name that a manifest states."""
    if not isinstance(body, Mapping):
        return None, None
    manifest = cast("Mapping[str, object]", body)
    kind, metadata = manifest.get("kind"), manifest.get("metadata")
    name = cast("Mapping[str, object]", metadata).get("name") if isinstance(metadata, Mapping) else None
    return (
        kind if isinstance(kind, str) and kind.isidentifier() else None,
        name if isinstance(name, str) and name else None,
    )


def _is_dry_run(in_url: str, query: object) -> bool:
    given: object = query.items() if isinstance(query, Mapping) else query
    pairs = [*parse_qsl(in_url), *(given if isinstance(given, Iterable) else ())]
    return any(isinstance(pair, (tuple, list)) and pair[0] == "dryRun" and pair[1] for pair in pairs)
