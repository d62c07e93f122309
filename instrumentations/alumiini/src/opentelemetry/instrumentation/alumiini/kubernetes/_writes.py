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


class Target(NamedTuple):
    """The resource that a URL names, and the parameters of the request.

    Args:
        path: The URL without its query.
        group: API group; empty for the core group.
        plural: The resource's name in URLs.
        name: Name of the resource.
        namespace: Its namespace; None for a resource of the cluster.
        is_dry_run: The API server does not store the result.
        field_manager: Who applies the resource.
    """

    path: str
    group: str
    plural: str
    name: str | None
    namespace: str | None
    is_dry_run: bool
    field_manager: str | None


class Write(NamedTuple):
    """A request that applies a resource.

    Args:
        target: The resource.
        stated_kind: The kind that the body states.
        name: Name of the resource.
    """

    target: Target
    stated_kind: str | None
    name: str | None

    @property
    def kind(self) -> str:
        """The kind: the known one, else the stated one, else the name in URLs."""
        target = self.target
        return _kinds.known_kind(target.group, target.plural) or self.stated_kind or target.plural

    @property
    def verified_kind(self) -> str:
        """The kind without what only the body states, which may be any text if the request was refused."""
        target = self.target
        return _kinds.known_kind(target.group, target.plural) or target.plural

    def accepted(self) -> None:
        """Note that the API server has accepted the request."""
        target = self.target
        if self.stated_kind is not None and _kinds.known_kind(target.group, target.plural) is None:
            _kinds.learn(target.group, target.plural, self.stated_kind)


def parse(method: str, url: str, query: object, body: object) -> Write | None:
    """Return what a request applies; None for a read, a dry run, a subresource, or a question.

    Args:
        method: HTTP method.
        url: URL.
        query: Query parameters that are not in the URL, as pairs or a mapping.
        body: Body before it is encoded.
    """
    method = method.upper()
    target = _target(url) if method in _METHODS else None
    if target is not None and query:
        target = _with_query(target, query)
    if target is None or target.is_dry_run:
        return None
    kind, stated_name = (None, None) if method == "DELETE" else _stated(body)
    return Write(target, kind, target.name or stated_name)


@lru_cache(1024)  # a controller sends the same requests again and again
def _target(url: str) -> Target | None:
    """Return the resource that a URL names; None if a write to it does not apply one."""
    path, _, query = url.partition("?")
    found = _PATH.search(urlsplit(path).path)
    if found is None:
        return None
    group, plural, name = found["group"] or "", found["plural"], found["name"]
    if found["subresource"] or plural in _NOT_APPLIED or group in _QUESTIONS:
        return None
    if found["namespace"] and plural in _OF_NAMESPACES and not name:
        return None
    target = Target(
        path,
        group,
        plural,
        unquote(name) if name else None,
        unquote(found["namespace"] or "") or None,
        is_dry_run=False,
        field_manager=None,
    )
    return _with_query(target, parse_qsl(query))


def _with_query(target: Target, query: object) -> Target:
    """Return the target with what the parameters of a query add to it."""
    given: object = query.items() if isinstance(query, Mapping) else query
    pairs = cast("Iterable[object]", given) if isinstance(given, Iterable) else ()
    for pair in pairs:
        if not isinstance(pair, (tuple, list)):
            continue
        name, value = cast("tuple[object, object]", pair)
        if name == "dryRun" and value:
            target = target._replace(is_dry_run=True)
        elif name == "fieldManager":
            target = target._replace(field_manager=target.field_manager or str(value))
    return target


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
