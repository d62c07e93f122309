"""Limit the number of messages that a body becomes when it is parsed.

A nested message takes two bytes on the wire and more than a hundred in memory, so the length of a body does
not bound the memory that its request takes. Counting stops at the limit.
"""

from __future__ import annotations

from functools import cache

from google.protobuf.descriptor import Descriptor

from assay.host.exporter import Encoding

PROTOBUF_DEPTH = 101
"""Nested messages that the protobuf library parses, including the outermost."""
_LENGTH_DELIMITED = 2
_RESERVED = frozenset({6, 7})
_FIXED_BYTES = {1: 8, 5: 4}
# Each nested message begins with a tag whose wire type, its low three bits, is 2.
_OTHER_BYTES = bytes(byte for byte in range(256) if byte & 7 != _LENGTH_DELIMITED)

# Measured with protobuf's upb: a span, data point or log record, and any other message with its strings.
_ITEM_BYTES = 160
_MESSAGE_BYTES = 24
_SMALL_BYTES = 16 * 1024


class TooManyError(Exception):
    """The body has more messages than the limit."""


def check_protobuf(payload: bytes, message: Descriptor, at_most: int) -> None:
    """Check that a protobuf body has at most `at_most` nested messages.

    The first two checks suffice for nearly every body; they cost nothing, and a tenth of the parser's time.

    Args:
        payload: The body; it need not be valid.
        message: The type of the request.
        at_most: The limit.

    Raises:
        TooManyError: The body has more messages.
    """
    if len(payload) <= 2 * at_most:  # a message takes at least two bytes
        return
    if len(payload.translate(None, _OTHER_BYTES)) <= at_most:
        return
    _Counter(payload, at_most).count(0, len(payload), message)


def check_json(payload: bytes, at_most: int) -> None:
    """Check that a JSON body has at most `at_most` values.

    Each value but the first follows a comma or an opening bracket. Such characters within strings count too.

    Raises:
        TooManyError: The body has more values.
    """
    if len(payload) <= 2 * at_most:
        return
    if payload.count(b",") + payload.count(b"{") + payload.count(b"[") > at_most:
        raise TooManyError


def memory(payload: bytes, items: int, encoding: Encoding) -> int:
    """Return about how many bytes a parsed request takes in memory, its payload included.

    This reads the whole payload, which takes nearly as long as parsing it; `most_memory` does not.

    Args:
        payload: The bytes that it was parsed from.
        items: The number of its spans, metrics or log records.
        encoding: Encoding of the payload.
    """
    if encoding == "json":
        return _memory(payload, items, payload.count(b"{"))
    if len(payload) <= _SMALL_BYTES:
        return _memory(payload, items, len(payload) // 4)
    return _memory(payload, items, len(payload.translate(None, _OTHER_BYTES)))


def most_memory(payload: bytes, items: int) -> int:
    """Return a number of bytes that `memory` does not exceed."""
    return _memory(payload, items, len(payload) // 2)


def _memory(payload: bytes, items: int, nested: int) -> int:
    return len(payload) + _ITEM_BYTES * items + _MESSAGE_BYTES * nested


class _Counter:
    """Counts the messages of a payload along the fields that the descriptors declare."""

    def __init__(self, payload: bytes, at_most: int) -> None:
        self._payload = payload
        self._remaining = at_most

    def count(self, start: int, end: int, message: Descriptor, depth: int = PROTOBUF_DEPTH) -> None:
        """Count the messages between two positions.

        Malformed bytes and a too deep nesting end the count: the parser reports them.
        """
        payload, nested_types = self._payload, _nested_types(message)
        position = start
        while position < end:
            tag, position = _varint(payload, position, end)
            kind = tag & 7
            if kind == 0:
                _, position = _varint(payload, position, end)
            elif kind == _LENGTH_DELIMITED:
                length, position = _varint(payload, position, end)
                nested = nested_types.get(tag >> 3)
                if nested is not None:
                    self._remaining -= 1
                    if self._remaining < 0:
                        raise TooManyError
                    if length and depth:
                        self.count(position, min(position + length, end), nested, depth - 1)
                position += length
            elif kind in _FIXED_BYTES:
                position += _FIXED_BYTES[kind]
            elif kind in _RESERVED:
                return
            # The other kinds are the start and the end of a group, whose fields count like the message's.


def _varint(payload: bytes, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end:
        byte = payload[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004  the continuation bit
            break
        shift += 7
        if shift > 63:  # noqa: PLR2004  a varint has at most 64 bits
            return 0, end
    return value & 0xFFFFFFFF, position  # tags and lengths have 32 bits


@cache
def _nested_types(message: Descriptor) -> dict[int, Descriptor]:
    return {field.number: field.message_type for field in message.fields if field.message_type is not None}
