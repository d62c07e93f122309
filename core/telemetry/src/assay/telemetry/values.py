"""From what the bus carries to what OpenTelemetry takes: strings, numbers, booleans, lists of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute
from assay.telemetry.redaction import redact_text

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
        string = redact_text(str(value))
    return string if len(string) <= STRING_LIMIT else string[: STRING_LIMIT - 1] + "…"


def integer(value: object) -> int | str:
    """Return a value as an integer; as text where it is none."""
    if isinstance(value, int):
        return int(value)
    try:
        return round(float(value))  # type: ignore[arg-type] # what float() does not take is caught
    except (TypeError, ValueError, OverflowError):
        return text(value)


def double(value: object) -> float | str:
    """Return a value as a float; as text where it is none."""
    try:
        return float(value)  # type: ignore[arg-type] # as above
    except (TypeError, ValueError, OverflowError):
        return text(value)


def boolean(value: object) -> bool | str:
    """Return a value as a boolean; as text where it is none."""
    if isinstance(value, (bool, int)):
        return bool(value)
    known = {"true": True, "false": False}
    string = text(value)
    return known.get(string.lower(), string)


_CONVERTERS: Mapping[str, Converter] = {"string": text, "int": integer, "double": double, "boolean": boolean}


def converter(attribute: Attribute) -> Converter:
    """Return what turns a value on the bus into the attribute's: scaled, and of its type."""
    kind = attribute.type.removesuffix("[]")
    convert = _CONVERTERS.get(kind, text)
    if attribute.scale != 1.0:
        convert = _scaled(convert, attribute.scale)
    if attribute.type.endswith("[]"):
        return _each(convert)
    return convert


def number(value: object) -> int | float | None:
    """Return what an instrument can record; None if `value` is no number. A boolean is 1 or 0."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return value
    try:
        return float(value)  # type: ignore[arg-type] # numpy's, Decimal; what float() does not take is caught
    except (TypeError, ValueError, OverflowError):
        return None


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
        for item in items:
            if len(kept) == LIST_LIMIT:
                break
            if item is not None:
                kept.append(convert(item))
        return kept

    return convert_each
