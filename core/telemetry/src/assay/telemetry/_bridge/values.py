"""Convert values of the bus to OpenTelemetry's types: strings, numbers, booleans, and lists of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute
from assay.telemetry.redaction import UNREADABLE, redact_text

Converter: TypeAlias = Callable[[Any], Any]

STRING_LIMIT = 4096
"""Characters that an attribute keeps."""
LIST_LIMIT = 128
"""Elements that a list attribute keeps."""


def text(value: object) -> str:
    """Return a value as a string of at most `STRING_LIMIT` characters; a boolean as `true` or `false`."""
    if isinstance(value, str):
        string = str(value)
    elif isinstance(value, bool):
        string = "true" if value else "false"
    elif isinstance(value, bytes):
        string = redact_text(value.decode(errors="replace"))
    else:
        try:
            string = redact_text(str(value))
        except Exception:  # noqa: BLE001 - an object's own __str__ may raise
            string = UNREADABLE
    return string if len(string) <= STRING_LIMIT else string[: STRING_LIMIT - 1] + "…"


def integer(value: object) -> int | str:
    """Return a value as an integer; as text if it is not a number."""
    if isinstance(value, int):
        return int(value)
    try:
        return round(float(value))  # type: ignore[arg-type] # a type that float() rejects is caught
    except Exception:  # noqa: BLE001 - an object's own __float__ may raise anything
        return text(value)


def double(value: object) -> float | str:
    """Return a value as a float; as text if it is not a number."""
    try:
        return float(value)  # type: ignore[arg-type] # as in `integer`
    except Exception:  # noqa: BLE001 - as in `integer`
        return text(value)


def boolean(value: object) -> bool | str:
    """Return a value as a boolean; as text if it is not one."""
    if isinstance(value, (bool, int)):
        return bool(value)
    known = {"true": True, "false": False}
    string = text(value)
    return known.get(string.lower(), string)


_CONVERTERS: Mapping[str, Converter] = {"string": text, "int": integer, "double": double, "boolean": boolean}


def converter(attribute: Attribute) -> Converter:
    """Return the function that converts a value on the bus to the attribute's type and scale."""
    kind = attribute.type.removesuffix("[]")
    convert = _CONVERTERS.get(kind, text)
    if attribute.scale != 1.0:
        convert = _scaled(convert, attribute.scale)
    if attribute.type.endswith("[]"):
        return _each(convert)
    return convert


def number(value: object) -> int | float | None:
    """Return a value that an instrument can record, None if it is not a number. A boolean is 1 or 0."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type] # numpy's, Decimal; a type that float() rejects is caught
    except Exception:  # noqa: BLE001 - as in `integer`
        return None


def nanoseconds(value: object) -> int | None:
    """Return a duration as a whole number of nanoseconds, None if it is not a finite number."""
    measured = number(value)
    return int(measured) if measured is not None and math.isfinite(measured) else None


def _scaled(convert: Converter, scale: float) -> Converter:
    def convert_scaled(value: object) -> Any:  # noqa: ANN401 - as the converter
        measured = number(value)
        return text(value) if measured is None else convert(measured * scale)

    return convert_scaled


def _each(convert: Converter) -> Converter:
    def convert_each(value: object) -> list[Any]:
        if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
            return [convert(value)]
        items: Iterable[Any] = value  # pyright: ignore[reportUnknownVariableType]
        kept: list[Any] = []
        try:
            for item in items:
                if len(kept) == LIST_LIMIT:
                    break
                if item is not None:
                    kept.append(convert(item))
        except Exception:  # noqa: BLE001 - an object's own __iter__ may raise
            return [UNREADABLE]
        return kept

    return convert_each
