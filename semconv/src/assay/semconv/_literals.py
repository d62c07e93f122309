"""Writes catalogue entries as Python source: constructor calls without the defaults."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

from assay.semconv.catalogue import Attribute


def literal(value: object, names: Mapping[Attribute, str] | None = None) -> str:
    """Return the Python source of a value.

    Args:
        value: A scalar, tuple, list, mapping, or one of the catalogue's dataclasses.
        names: Variables of the attributes that have one.
    """
    names = names or {}
    if isinstance(value, Attribute) and value in names:
        return names[value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        changed = (each for each in dataclasses.fields(value) if _differs(value, each))
        arguments = ", ".join(f"{each.name}={literal(getattr(value, each.name), names)}" for each in changed)
        return f"{type(value).__name__}({arguments})"
    if isinstance(value, Mapping):
        members = cast("Mapping[object, object]", value)
        return "{" + ", ".join(f"{key!r}: {literal(each, names)}" for key, each in members.items()) + "}"
    if isinstance(value, tuple):
        return "(" + "".join(f"{literal(each, names)}, " for each in cast("tuple[object, ...]", value)) + ")"
    if isinstance(value, list):
        return "[" + ", ".join(literal(each, names) for each in cast("list[object]", value)) + "]"
    return repr(value)


def _differs(value: object, member: dataclasses.Field[Any]) -> bool:
    if member.default_factory is not dataclasses.MISSING:
        return getattr(value, member.name) != member.default_factory()
    return getattr(value, member.name) != member.default
