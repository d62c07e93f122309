"""CloudEvents 1.0 around a CDEvent: the JSON event format, and the headers of the HTTP binding.

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

from assay.exporters.cdevents import formats, model
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
        traceparent: W3C trace context of the record that it came from; empty: none.
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
    """Return the CDEvent that a structured CloudEvent carries; a bare CDEvent is returned as it is.

    Raises:
        InvalidEvent: The envelope, the event, or their agreement is wrong.
    """
    if not isinstance(document, dict):
        raise InvalidEvent([Fault("", "is no JSON object")])
    members = cast("dict[str, Any]", document)
    if "context" in members and "specversion" not in members:
        model.parse(members)
        return members
    # An attribute that is null is one that is not set (JSON format, 2.2).
    members = {name: value for name, value in members.items() if value is not None or name in _PAYLOAD}
    faults = _attribute_faults(members)
    try:
        data = _data(members)
        model.parse(data)
    except InvalidEvent as error:
        member = "data_base64" if "data_base64" in members else "data"
        raise InvalidEvent([*faults, *(_inside(member, fault) for fault in error.faults)]) from None
    faults += _disagreements(members, data)
    if faults:
        raise InvalidEvent(faults)
    return data


def headers(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers of the binary mode: each attribute as `ce-…`, percent-encoded (binding, 3.1.3.2)."""
    named = {
        f"ce-{name}": quote(_text(value), safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")
        for name, value in document.items()
        if name not in _PAYLOAD and name != "datacontenttype"
    }
    return {**named, "content-type": str(document.get("datacontenttype", JSON))}


def received(headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Return the structured form of what an HTTP request carries, in either mode.

    Args:
        headers: Of the request; names in any case.
        body: Of the request.

    Raises:
        InvalidEvent: It carries no CloudEvent, or its body is no JSON.
    """
    found = {name.lower(): value for name, value in headers.items()}
    content_type = found.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() == STRUCTURED:
        document = decode(body)
        if not isinstance(document, dict):
            raise InvalidEvent([Fault("", "is no JSON object")])
        return cast("dict[str, Any]", document)
    if "ce-specversion" not in found:
        raise InvalidEvent([Fault("", f"is no CloudEvent: neither {STRUCTURED} nor ce- headers")])
    attributes = {name[3:]: unquote(value) for name, value in found.items() if name.startswith("ce-")}
    return {**attributes, "datacontenttype": content_type or JSON, "data": decode(body)}


def decode(body: bytes | str) -> object:
    """Return JSON values; raise InvalidEvent for what is none (NaN and duplicate names included)."""
    try:
        return json.loads(body, parse_constant=_no_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent([Fault("", f"is no JSON: {error}")]) from None


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = next(name for name, _ in pairs if [other for other, _ in pairs].count(name) > 1)
        raise ValueError(f"the member {twice!r} stands twice in one object")
    return members


def _data(members: Mapping[str, Any]) -> dict[str, Any]:
    if "data" in members and "data_base64" in members:
        raise InvalidEvent([Fault("", "has both data and data_base64")])
    data = members.get("data")
    if "data_base64" in members:
        try:
            decoded = base64.b64decode(str(members["data_base64"]), validate=True)
        except ValueError as error:
            raise InvalidEvent([Fault("", f"is no base64: {error}")]) from None
        data = decode(decoded)
    if not isinstance(data, dict):
        raise InvalidEvent([Fault("", "is no JSON object")])
    return cast("dict[str, Any]", data)


def _inside(member: str, fault: Fault) -> Fault:
    return Fault(f"{member}.{fault.field}" if fault.field else member, fault.reason)


def _attribute_faults(members: Mapping[str, Any]) -> list[Fault]:
    faults = [
        Fault(name, "is missing") for name in ("specversion", "id", "source", "type") if name not in members
    ]
    for name, value in members.items():
        if name in _PAYLOAD:
            continue
        if not _EXTENSION.fullmatch(name):
            faults.append(Fault(name, "is no attribute name: lower-case letters and digits only"))
        elif not isinstance(value, str):
            if name in _CHECKS or not isinstance(value, int) or value not in _INT32:
                faults.append(Fault(name, "is no string" if name in _CHECKS else "is no CloudEvents value"))
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
        raise ValueError("is no JSON media type")
    return value


_CHECKS: dict[str, Callable[[str], str]] = {
    "specversion": _version,
    "id": _non_empty,
    "source": lambda value: formats.uri_reference(_non_empty(value)),
    "type": _non_empty,
    "time": formats.date_time,
    "subject": _non_empty,
    "dataschema": formats.uri,
    "datacontenttype": _content_type,
}


def _disagreements(members: Mapping[str, Any], data: Mapping[str, Any]) -> list[Fault]:
    """The binding sets the attributes to the context's values."""
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
