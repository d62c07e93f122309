"""Generate code that converts a bus event to the attributes of a span, a log event or an audit record."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.values import STRING_LIMIT, converter
from assay.telemetry.correlation import BAGGAGE_KEY as CORRELATION_ATTRIBUTE

Extract: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any], dict[str, Any]], None]
"""Takes measurements and metadata; adds the attributes to the third argument."""

_NEEDS_NO_CONVERSION = {
    "string": "{value}.__class__ is str and len({value}) <= %d" % STRING_LIMIT,  # noqa: UP031 - braces stay
    "int": "{value}.__class__ is int",
    "double": "{value}.__class__ is float",
    "boolean": "{value}.__class__ is bool",
}
"""By type: the condition under which a value already is the attribute's."""


def extractor(attributes: Iterable[Attribute]) -> Extract:
    """Return a function that reads these attributes from an event; absent and None values are left out."""
    source = Source("extract", "measurements", "metadata", "into")
    write_attributes(source, attributes, "into[{key}] = {value}")
    source.write("return")
    return source.build()


def write_attributes(source: Source, attributes: Iterable[Attribute], statement: str) -> None:
    """Write a statement for each attribute that the event has.

    Args:
        source: A function with the variables `measurements` and `metadata`.
        attributes: The attributes to read.
        statement: The statement for one, such as `into[{key}] = {value}`.
    """
    source.use("measurements", "metadata")
    for attribute in attributes:
        keys = (attribute.key, *attribute.also)
        if attribute.constant is not None:
            constant = source.literal(attribute.constant)
            for key in keys:
                source.write(statement.format(key=repr(key), value=constant))
            continue
        value = _write_value(source, attribute)
        with source.block(f"if {value} is not None"):
            source.write(f"{value} = {_converted(source, attribute, value)}")
            for key in keys:
                source.write(statement.format(key=repr(key), value=value))


def write_correlation(source: Source, into: str) -> None:
    """Write the statement that adds the event's correlation id to the dict `into`."""
    source.use("metadata", into)
    value = source.name("correlation_id")
    source.write(
        f"""
        {value} = metadata.get("correlation_id")
        if {value} is not None:
            {into}[{CORRELATION_ATTRIBUTE!r}] = {value}
        """
    )


def _write_value(source: Source, attribute: Attribute) -> str:
    """Write the look-up of an attribute's value; return its variable.

    A measurement may also be in the metadata: an emitter has room for it there.
    """
    value, key = source.name("value"), attribute.source or attribute.name
    if attribute.measurement:
        source.write(f"{value} = measurements.get({key!r})")
        with source.block(f"if {value} is None"):
            source.write(f"{value} = metadata.get({key!r})")
    else:
        source.write(f"{value} = metadata.get({key!r})")
    return value


def _converted(source: Source, attribute: Attribute, value: str) -> str:
    convert = source.bind("convert", converter(attribute))
    if attribute.scale != 1.0:
        if attribute.type != "double":
            return f"{convert}({value})"
        scale = source.literal(attribute.scale)
        return f"{value} * {scale} if {value}.__class__ is int else {convert}({value})"
    condition = _NEEDS_NO_CONVERSION.get(attribute.type)
    if condition is None:
        return f"{convert}({value})"
    return f"{value} if {condition.format(value=value)} else {convert}({value})"
