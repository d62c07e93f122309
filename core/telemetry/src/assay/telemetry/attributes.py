"""From a bus event to the attributes of a span, a log event or an audit record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute
from assay.telemetry.source import Source
from assay.telemetry.values import STRING_LIMIT, converter

Extract: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], dict[str, Any]], None]
"""Takes measurements and metadata; adds attributes to the third."""

CORRELATION_ATTRIBUTE = "assay.correlation_id"
"""Carries the correlation id on spans, log events and audit records."""

_KEPT = {
    "string": f"value.__class__ is str and len(value) <= {STRING_LIMIT}",
    "int": "value.__class__ is int",
    "double": "value.__class__ is float",
    "boolean": "value.__class__ is bool",
}
"""By type: whether a value is the attribute's as it is."""


def extractor(attributes: Iterable[Attribute]) -> Extract:
    """Return what reads these attributes from an event. What the event lacks, or has as None, is left out."""
    source = Source("extract", "measurements", "metadata", "into")
    write_attributes(source, attributes, "into[{key}] = {value}")
    source.write("return")
    return source.build()


def write_attributes(source: Source, attributes: Iterable[Attribute], statement: str) -> None:
    """Write what is done with each attribute, in a function that knows `measurements` and `metadata`.

    Args:
        source: The function.
        attributes: What is read.
        statement: What is done with one, such as `known[{key}] = {value}`.
    """
    for attribute in attributes:
        keys = (attribute.key, *attribute.also)
        if attribute.constant is not None:
            for key in keys:
                source.write(statement.format(key=repr(key), value=repr(attribute.constant)))
            continue
        _write_value(source, attribute.source or attribute.name, is_measurement=attribute.measurement)
        with source.block("if value is not None"):
            source.write(f"value = {_converted(source, attribute)}")
            for key in keys:
                source.write(statement.format(key=repr(key), value="value"))


def write_correlation(source: Source, into: str) -> None:
    """Write what puts an event's correlation id into the dict `into`."""
    source.write(
        f"""
        correlation_id = metadata.get("correlation_id")
        if correlation_id is not None:
            {into}[{CORRELATION_ATTRIBUTE!r}] = correlation_id
        """
    )


def _write_value(source: Source, name: str, *, is_measurement: bool) -> None:
    """Write what reads an event's `value`. A measurement may be in the metadata: a handle has room there."""
    if is_measurement:
        source.write(f"value = measurements.get({name!r})")
        with source.block("if value is None"):
            source.write(f"value = metadata.get({name!r})")
    else:
        source.write(f"value = metadata.get({name!r})")


def _converted(source: Source, attribute: Attribute) -> str:
    convert = source.bind("convert", converter(attribute))
    if attribute.scale != 1.0:
        if attribute.type != "double":
            return f"{convert}(value)"
        return f"value * {attribute.scale!r} if value.__class__ is int else {convert}(value)"
    kept = _KEPT.get(attribute.type)
    return f"value if {kept} else {convert}(value)" if kept else f"{convert}(value)"
