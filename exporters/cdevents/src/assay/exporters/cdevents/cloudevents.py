"""Wrap a CDEvent in a CloudEvent 1.0, in the JSON event format and as headers of the HTTP binding.

Source: CloudEvents v1.0.2 `spec.md`, `formats/json-format.md`, `bindings/http-protocol-binding.md`; CDEvents
v0.5.1 `cloudevents-binding.md`.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import Any, cast
from urllib.parse import quote, unquote

from assay.exporters.cdevents import _formats, _model
from assay.exporters.cdevents.errors import Fault, InvalidEvent

STRUCTURED = "application/cloudevents+json"
JSON = "application/json"

_EXTENSION = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"[^;]+/(?:[^;]+\+)?json(?:\s*;.*)?", re.IGNORECASE)
_MIRRORED = (("id", "id"), ("source", "source"), ("type", "type"), ("time", "timestamp"))
_INT32 = range(-(2**31), 2**31)
_PAYLOAD = frozenset({"data", "data_base64"})


def envelope(event: Mapping[str, Any], traceparent: str = "") -> dict[str, Any]:
    """Return the structured form of a valid CDEvent.

    Args:
        event: The CDEvent's JSON values.
        traceparent: W3C trace context of the source record, or empty.
    """
    context = event["context"]
    attributes = {
        "specversion": "1.0",
        **{name: context[member] for name, member in _MIRRORED},
        "subject": event["subject"]["id"],
        "datacontenttype": JSON,
    }
    if "schemaUri" in context:
        attributes["dataschema"] = context["schemaUri"]
    if traceparent:
        attributes["traceparent"] = traceparent
    return {**attributes, "data": event}


def check(document: object) -> dict[str, Any]:
    """Validate a structured CloudEvent, or a bare CDEvent, and return the CDEvent.

    Raises:
        InvalidEvent: The envelope or the event is not valid, or they disagree.
    """
    if not isinstance(document, dict):
        raise InvalidEvent([Fault("", "is not a JSON object")])
    members = cast("dict[str, Any]", document)
    if "context" in members and "specversion" not in members:
        _model.parse(members)
        return members
    # An attribute whose value is null is not set (JSON format, section 2.2).
    members = {name: value for name, value in members.items() if value is not None or name in _PAYLOAD}
    faults = _attribute_faults(members)
    try:
        data = _data(members)
        _model.parse(data)
    except InvalidEvent as error:
        member = "data_base64" if "data_base64" in members else "data"
        raise InvalidEvent([*faults, *(_nested_fault(member, fault) for fault in error.faults)]) from None
    faults += _disagreements(members, data)
    if faults:
        raise InvalidEvent(faults)
    return data


def headers(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the binary mode: a percent-encoded `ce-` header for each attribute.

    Source: HTTP binding, section 3.1.3.2.

    Args:
        document: A structured CloudEvent.
    """
    named = {
        f"ce-{name}": quote(_text(value), safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
        for name, value in document.items()
        if name not in _PAYLOAD and name != "datacontenttype"
    }
    return {**named, "content-type": str(document.get("datacontenttype", JSON))}


def from_request(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the CloudEvent of an HTTP request of either mode, in its structured form.

    Args:
        headers: The request's headers; their names in any case.
        body: The request's body.

    Raises:
        InvalidEvent: The request carries no CloudEvent, or its body is not JSON.
    """
    by_name = {name.lower(): value for name, value in headers.items()}
    content_type = by_name.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == STRUCTURED:
        document = decode(body)
        if not isinstance(document, dict):
            raise InvalidEvent([Fault("", "is not a JSON object")])
        return cast("dict[str, Any]", document)
    if "ce-specversion" not in by_name:
        raise InvalidEvent(
            [Fault("", f"is not a CloudEvent: it has neither Content-Type {STRUCTURED} nor ce- headers")]
        )
    attributes = {name[3:]: unquote(value) for name, value in by_name.items() if name.startswith("ce-")}
    return {**attributes, "datacontenttype": content_type or JSON, "data": decode(body)}


def decode(body: bytes | str) -> object:
    """Decode JSON text.

    Raises:
        InvalidEvent: The text is not JSON, it contains NaN or an infinity, or an object has a duplicate name.
    """
    try:
        return json.loads(body, parse_constant=_reject_constant, object_pairs_hook=_object_of_unique_names)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent([Fault("", f"is not JSON: {error}")]) from None


def _reject_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON number")


def _object_of_unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        duplicate = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise ValueError(f"an object has the member {duplicate!r} twice")
    return members


def _data(members: Mapping[str, Any]) -> dict[str, Any]:
    if "data" in members and "data_base64" in members:
        raise InvalidEvent([Fault("", "has both data and data_base64")])
    data = members.get("data")
    if "data_base64" in members:
        try:
            decoded = base64.b64decode(str(members["data_base64"]), validate=True)
        except ValueError as error:
            raise InvalidEvent([Fault("", f"is not base64: {error}")]) from None
        data = decode(decoded)
    if not isinstance(data, dict):
        raise InvalidEvent([Fault("", "is not a JSON object")])
    return cast("dict[str, Any]", data)


def _nested_fault(member: str, fault: Fault) -> Fault:
    return Fault(f"{member}.{fault.field}" if fault.field else member, fault.reason)


def _attribute_faults(members: Mapping[str, Any]) -> list[Fault]:
    faults = [
        Fault(name, "is missing") for name in ("specversion", "id", "source", "type") if name not in members
    ]
    for name, value in members.items():
        if name in _PAYLOAD:
            continue
        if not _EXTENSION.fullmatch(name):
            faults.append(Fault(name, "is not an attribute name: use lower-case letters and digits only"))
        elif not isinstance(value, str):
            if name in _CHECKS or not isinstance(value, int) or value not in _INT32:
                faults.append(
                    Fault(name, "is not a string" if name in _CHECKS else "is not a CloudEvents value")
                )
        elif name in _CHECKS:
            try:
                _CHECKS[name](value)
            except ValueError as error:
                faults.append(Fault(name, str(error)))
    return faults


def _non_empty(value: str) -> str:
    if not value:
        raise ValueError("is empty")
    return value


def _version(value: str) -> str:
    if value != "1.0":
        raise ValueError("is not 1.0")
    return value


def _content_type(value: str) -> str:
    if not _JSON_TYPE.fullmatch(value):
        raise ValueError("is not a JSON media type")
    return value


_CHECKS: dict[str, Callable[[str], str]] = {
    "specversion": _version,
    "id": _non_empty,
    "source": lambda value: _formats.uri_reference(_non_empty(value)),
    "type": _non_empty,
    "time": _formats.date_time,
    "subject": _non_empty,
    "dataschema": _formats.uri,
    "datacontenttype": _content_type,
}


def _disagreements(members: Mapping[str, Any], data: Mapping[str, Any]) -> list[Fault]:
    """Return a fault for each attribute that differs from the CDEvent: the binding requires equal values."""
    pairs = [(name, data["context"][member], f"context.{member}") for name, member in _MIRRORED]
    pairs.append(("subject", data["subject"]["id"], "subject.id"))
    return [
        Fault(name, f"is {members[name]!r}, but data.{path} is {value!r}")
        for name, value, path in pairs
        if name in members and members[name] != value
    ]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
