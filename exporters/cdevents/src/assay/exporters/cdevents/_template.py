"""Fill the templates of mapping rules: JSON values whose strings may contain `{attribute.key}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

from assay.exporters.cdevents import _formats

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_PURL = "pkg:"
_SCP = re.compile(
    r"(?P<host>[\w.-]+@(?:[\w.-]+|\[[\da-fA-F:.]+\])|[\w-]+(?:\.[\w-]+)+):(?!//)(?P<path>.+)", re.ASCII
).fullmatch
"""`user@host:path`. Without a user the host has a dot, because `name:rest` may be any URI."""
_DRIVE = re.compile(r"[a-zA-Z]:[/\\].*").fullmatch
_PATH = "/-._~!$&'()*+,;=:@"
_LOCATIONS = frozenset({"uri", "viewUrl"})
_URI_MEMBERS = frozenset({"uri", "viewUrl", "ticketURI", "source", "approvalDetailsUrl", "resourceTargetUrl"})


class Absent:
    """The result for a member whose only content is an absent attribute: the member is left out."""


ABSENT: Final = Absent()


def fill(template: object, attributes: Mapping[str, Any], *, name: str = "") -> Any:  # noqa: ANN401  JSON in, JSON out
    """Return the template with its placeholders replaced by attributes.

    A string that consists of one placeholder becomes the attribute's value, and is left out if the
    attribute is absent. In longer text an absent attribute becomes empty; if all are absent, the text is
    left out. In a member that holds a URI every value is percent-encoded, and one absent attribute leaves
    the member out. In a package URL (`pkg:…`) every value is percent-encoded too. A git URL of the form
    `git@host:path` or `host.name:path`, and an absolute path, become URIs.

    Args:
        template: JSON values.
        attributes: Values of the placeholders by attribute key.
        name: Name of the member that contains the template.

    Returns:
        JSON values, or `ABSENT`.
    """
    if isinstance(template, Mapping):
        return _object(cast("Mapping[str, Any]", template), attributes)
    if isinstance(template, list | tuple):
        items = [fill(item, attributes, name=name) for item in cast("list[object]", template)]
        return [item for item in items if item is not ABSENT]
    return _string(template, attributes, name) if isinstance(template, str) else template


def _string(template: str, attributes: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401  JSON out
    keys = _PLACEHOLDER.findall(template)
    if not keys:
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole:
        value = attributes.get(whole[1])
        if value is None:
            return ABSENT
        return _as_uri(value) if name in _LOCATIONS and isinstance(value, str) else value
    if template.startswith(_PURL):
        return _purl(template, attributes)
    return _text(template, keys, attributes, encoded=name in _URI_MEMBERS)


def _as_uri(location: str) -> str | Absent:
    """Return a repository's location as a URI; `ABSENT` if it has no such form, as a relative path."""
    if scp := _SCP(location):
        return f"ssh://{scp['host']}/{quote(scp['path'].lstrip('/'), safe=_PATH)}"
    if _DRIVE(location):
        location = "/" + location.replace("\\", "/")
    if location.startswith("/"):
        return f"file://{quote(location, safe=_PATH)}"
    try:
        return _formats.uri(location)
    except ValueError:
        return ABSENT


def _purl(template: str, attributes: Mapping[str, Any]) -> str | Absent:
    """Return a package URL; without a version if the version's attributes are absent.

    Source: https://github.com/package-url/purl-spec, "Character encoding": only colons stay as they are.
    """
    keys = _PLACEHOLDER.findall(template)
    values = {key: quote(text(attributes[key]), safe=":") for key in keys if attributes.get(key) is not None}
    if not values:
        return ABSENT
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), template).removesuffix("@")


def _text(template: str, keys: list[str], attributes: Mapping[str, Any], *, encoded: bool) -> str | Absent:
    values = {key: text(attributes[key]) for key in keys if attributes.get(key) is not None}
    if not values or (encoded and len(values) < len(set(keys))):
        return ABSENT
    if encoded:
        values = {key: quote(value, safe="") for key, value in values.items()}
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], ""), template)


def _object(template: Mapping[str, Any], attributes: Mapping[str, Any]) -> dict[str, Any] | Absent:
    filled = {name: fill(value, attributes, name=name) for name, value in template.items()}
    kept = {name: value for name, value in filled.items() if value is not ABSENT}
    return ABSENT if template and not kept else kept


def text(value: object) -> str:
    """Return a value as text; booleans as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
