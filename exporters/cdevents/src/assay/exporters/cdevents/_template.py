"""Fill the templates of mapping rules: JSON values whose strings may contain `{attribute.key}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import quote

_PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
_URI_MEMBERS = frozenset({"uri", "viewUrl", "ticketURI", "source", "approvalDetailsUrl", "resourceTargetUrl"})


class Absent:
    """The result for a member whose only content is an absent attribute: the member is left out."""


ABSENT: Final = Absent()


def fill(template: object, attributes: Mapping[str, Any], *, name: str = "") -> Any:  # noqa: ANN401  JSON in, JSON out
    """Return the template with its placeholders replaced by attributes.

    A string that consists of one placeholder becomes the attribute's value, and is left out if the
    attribute is absent. In longer text an absent attribute becomes empty; if all are absent, the text is
    left out. In a member that holds a URI every value is percent-encoded, and one absent attribute leaves
    the member out.

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
    if not isinstance(template, str):
        return template
    keys = _PLACEHOLDER.findall(template)
    if not keys:
        return template
    whole = _PLACEHOLDER.fullmatch(template)
    if whole:
        value = attributes.get(whole[1])
        return ABSENT if value is None else value
    return _text(template, keys, attributes, encoded=name in _URI_MEMBERS)


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
