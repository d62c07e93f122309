"""Recognise the requests that apply a resource, by their method and URL (Kubernetes, "API Concepts")."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple, cast
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


class Request(NamedTuple):
    """A request of a client, as its arguments state it.

    Args:
        method: HTTP method.
        url: URL.
        query: Query parameters that are not in the URL, as pairs or a mapping.
        headers: Headers.
        body: Body before it is encoded.
    """

    method: str
    url: str
    query: object
    headers: object
    body: object

    def query_values(self, name: str) -> list[str]:
        """Return the values of a query parameter, which older clients do not put into the URL."""
        given: object = self.query.items() if isinstance(self.query, Mapping) else self.query
        pairs = cast("Iterable[object]", given) if isinstance(given, Iterable) else ()
        return [
            *_query(self.url).get(name, ()),
            *(str(pair[1]) for pair in pairs if isinstance(pair, (tuple, list)) and pair[0] == name),
        ]


class Target(NamedTuple):
    """The resource that a URL names.

    Args:
        group: API group; empty for the core group.
        plural: The resource's name in URLs.
        name: Name of the resource.
        namespace: Its namespace; None for a resource of the cluster.
    """

    group: str
    plural: str
    name: str | None
    namespace: str | None


class Write(NamedTuple):
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


def parse(request: Request) -> Write | None:
    """Return what a request applies; None for a read, a dry run, a subresource, or a question."""
    method = request.method.upper()
    target = _target(request.url) if method in _METHODS else None
    if target is None or any(request.query_values("dryRun")):
        return None
    kind, stated_name = (None, None) if method == "DELETE" else _stated(request.body)
    return Write(target.group, target.plural, kind, target.name or stated_name, target.namespace)


# A controller sends the same requests again and again: their URLs are parsed once.


@lru_cache(1024)
def _target(url: str) -> Target | None:
    """Return the resource that a URL names; None if a write to it does not apply one."""
    found = _PATH.search(urlsplit(url).path)
    if found is None:
        return None
    group, plural, name = found["group"] or "", found["plural"], found["name"]
    if found["subresource"] or plural in _NOT_APPLIED or group in _QUESTIONS:
        return None
    if found["namespace"] and plural in _OF_NAMESPACES and not name:
        return None
    return Target(group, plural, unquote(name) if name else None, unquote(found["namespace"] or "") or None)


@lru_cache(1024)
def _query(url: str) -> Mapping[str, tuple[str, ...]]:
    """Return the values of the query parameters of a URL."""
    found: dict[str, tuple[str, ...]] = {}
    for name, value in parse_qsl(urlsplit(url).query):
        found[name] = (*found.get(name, ()), value)
    return found


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
