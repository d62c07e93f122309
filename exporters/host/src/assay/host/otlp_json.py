"""Convert OTLP/JSON to protobuf messages and back, with tables compiled from the protobuf descriptors.

OTLP 1.9 "JSON Protobuf Encoding" differs from the protobuf JSON mapping: trace and span ids are hexadecimal,
enums are integers only, names are lowerCamelCase only, and unknown names are ignored. The rest follows the
mapping: 64-bit integers are strings (the decoder accepts numbers too), bytes are base64, NaN and the
infinities are strings, and null means absent.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

import orjson
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

_Reader: TypeAlias = Callable[[Any, int], Any]
_Writer: TypeAlias = Callable[[Any], Any]

_HEX = frozenset({"trace_id", "span_id", "parent_span_id"})
_BITS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: (-(2**31), 2**31 - 1),
}
_AS_STRING = frozenset({FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64})
# Numbers as in JSON (RFC 8259 section 6). Python's int() and float() accept more, such as "1_000".
_INTEGER = re.compile(r"-?[0-9]+").fullmatch
_FLOAT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?").fullmatch
_NUMBERS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class MalformedError(ValueError):
    """The JSON is not an OTLP request; the message names the path, the expected type and the actual one."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.path = ""

    def __str__(self) -> str:
        return f"{self.path.lstrip('.') or 'the request'}: {self.problem}"


class TooDeepError(MalformedError):
    """The messages are nested deeper than the limit."""


def decode(payload: bytes, request: type[Message], depth: int) -> Any:  # noqa: ANN401  an instance of `request`
    """Decode an OTLP/JSON request.

    Args:
        payload: UTF-8 JSON.
        request: The message class of the request.
        depth: Maximum number of nested messages, including the request.

    Returns:
        An instance of `request`.

    Raises:
        MalformedError: The payload is not JSON, or a field has the wrong type.
        TooDeepError: The messages are nested too deeply.
    """
    try:
        document: Any = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        if "depth" in str(error) or "recursion" in str(error):
            raise TooDeepError(f"nested deeper than {depth} messages") from error
        raise MalformedError(f"not valid JSON: {error}") from error
    return request(**_message_reader(request.DESCRIPTOR)(document, depth))


def encode(request: Message) -> bytes:
    """Encode a request as OTLP/JSON on one line, without a line end."""
    return orjson.dumps(_message_writer(request.DESCRIPTOR)(request))


@cache
def _message_reader(message: Descriptor) -> _Reader:
    fields: dict[str, tuple[str, _Reader]] = {}
    oneofs = [[field.name for field in oneof.fields] for oneof in message.oneofs if len(oneof.fields) > 1]

    def read(value: Any, depth: int) -> dict[str, Any]:  # noqa: ANN401  any JSON value
        if not fields:  # filled on first use, because message types are recursive
            fields.update(
                {field.camelcase_name: (field.name, _field_reader(field)) for field in message.fields}
            )
        if type(value) is not dict:
            raise MalformedError(f"expected an object, got {_kind(value)}")
        if not depth:
            raise TooDeepError("messages are nested too deeply")
        decoded: dict[str, Any] = {}
        for name, item in cast("dict[str, Any]", value).items():
            known = fields.get(name)
            if known is None or item is None:
                continue
            try:
                decoded[known[0]] = known[1](item, depth - 1)
            except MalformedError as error:
                error.path = f".{name}{error.path}"
                raise
        if len(decoded) > 1:
            _check_oneofs(oneofs, decoded)
        return decoded

    return read


def _check_oneofs(oneofs: list[list[str]], decoded: Mapping[str, Any]) -> None:
    for names in oneofs:
        present = [name for name in names if name in decoded]
        if len(present) > 1:
            raise MalformedError(f"only one of {' and '.join(present)} may be given")


def _field_reader(field: FieldDescriptor) -> _Reader:
    read = _scalar_reader(field)
    if not field.is_repeated:
        return read

    def read_all(value: Any, depth: int) -> list[Any]:  # noqa: ANN401  any JSON value
        if type(value) is not list:
            raise MalformedError(f"expected an array, got {_kind(value)}")
        items = cast("list[Any]", value)
        decoded: list[Any] = []
        try:
            for item in items:
                decoded.append(read(item, depth))  # noqa: PERF401  the error needs the index, which is the length
        except MalformedError as error:
            error.path = f"[{len(decoded)}]{error.path}"
            raise
        return decoded

    return read_all


def _scalar_reader(field: FieldDescriptor) -> _Reader:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return _message_reader(field.message_type)
    if kind in _BITS:
        return _integer_reader(*_BITS[kind], accept_text=kind != FieldDescriptor.CPPTYPE_ENUM)
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return _read_float
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        return _read_bool
    if field.type == FieldDescriptor.TYPE_BYTES:
        return _read_hex if field.name in _HEX else _read_base64
    return _read_string


def _integer_reader(low: int, high: int, *, accept_text: bool) -> _Reader:
    def read(value: Any, _: int) -> int:  # noqa: ANN401  any JSON value
        number: int
        if type(value) is int:
            number = value
        elif type(value) is str and accept_text:
            if not _INTEGER(value):
                raise MalformedError("expected an integer, got a string that does not hold one")
            number = int(value) if len(value) <= 20 else high + 1  # noqa: PLR2004  digits of 64 bits and a sign
        elif type(value) is float and value.is_integer():
            number = int(value)
        else:
            raise MalformedError(f"expected an integer, got {_kind(value)}")
        if not low <= number <= high:
            raise MalformedError(f"the integer is outside {low} to {high}")
        return number

    return read


def _read_float(value: Any, _: int) -> float:  # noqa: ANN401  any JSON value
    if type(value) in {float, int}:
        return float(value)
    if type(value) is str and value in _NUMBERS:
        return _NUMBERS[value]
    if type(value) is str and _FLOAT(value) and math.isfinite(number := float(value)):
        return number
    raise MalformedError(f"expected a number, got {_kind(value)}")


def _read_bool(value: Any, _: int) -> bool:  # noqa: ANN401  any JSON value
    if type(value) is not bool:
        raise MalformedError(f"expected true or false, got {_kind(value)}")
    return value


def _read_string(value: Any, _: int) -> str:  # noqa: ANN401  any JSON value
    if type(value) is not str:
        raise MalformedError(f"expected a string, got {_kind(value)}")
    return value


def _read_hex(value: Any, _: int) -> bytes:  # noqa: ANN401  any JSON value
    try:
        return binascii.unhexlify(_read_string(value, 0))
    except ValueError:
        raise MalformedError("expected hexadecimal digits, two for each byte (not base64)") from None


def _read_base64(value: Any, _: int) -> bytes:  # noqa: ANN401  any JSON value
    text = _read_string(value, 0).translate({ord("-"): "+", ord("_"): "/"}).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise MalformedError("expected base64") from None


def _kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return next((name for kind, name in names.items() if type(value) is kind), "a number")


@cache
def _message_writer(message: Descriptor) -> _Writer:
    fields: dict[str, tuple[str, _Writer]] = {}

    def write(value: Message) -> dict[str, Any]:
        if not fields:  # filled on first use, because message types are recursive
            fields.update(
                {field.name: (field.camelcase_name, _field_writer(field)) for field in message.fields}
            )
        encoded: dict[str, Any] = {}
        for field, item in value.ListFields():
            name, convert = fields[field.name]
            encoded[name] = convert(item)
        return encoded

    return write


def _field_writer(field: FieldDescriptor) -> _Writer:
    write = _scalar_writer(field)
    if not field.is_repeated:
        return write
    return lambda values: [write(value) for value in values]


def _scalar_writer(field: FieldDescriptor) -> _Writer:
    kind = field.cpp_type
    if kind == FieldDescriptor.CPPTYPE_MESSAGE:
        return _message_writer(field.message_type)
    if kind in _AS_STRING:
        return str
    if kind in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return _write_float
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes.hex if field.name in _HEX else lambda value: base64.b64encode(value).decode()
    return lambda value: value


def _write_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
