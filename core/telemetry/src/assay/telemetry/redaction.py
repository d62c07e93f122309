"""Redact secrets: by the name of a key, and by the shape of a value.

`redact(value)` redacts any value; the bus redacts each event's metadata before the handlers get it. The
registry's `redaction.yaml` lists the keys and the shapes. Findings are counted by rule (`hits`) and never
stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from re import Pattern
from typing import Any, cast

from assay.telemetry._shapes import OPTIONAL, REDACTED, SHAPES, Shape, is_secret_key, is_suspect

DEPTH_LIMIT = 12
"""Levels of nesting that are searched; deeper values are replaced."""
TEXT_LIMIT = 1_048_576
"""Characters of a text that are searched; the rest is cut off."""
TOO_DEEP = "[TOO DEEP]"
UNREADABLE = "[UNREADABLE]"

KEY_RULE = "key"
OPTIONAL_SHAPES = tuple(OPTIONAL)
"""Rules of the shapes that are redacted only on request."""

_MEMORY = 8192
_MEMORABLE_LENGTH = 200
PLAIN_TYPES = frozenset({int, float, bool, type(None), complex})
"""Types whose values cannot hold a secret."""

_CONTAINERS = frozenset({dict, list, tuple, set, frozenset})

_hits: dict[str, int] = {}
# Verdicts on recurring keys and texts: sets, because one look-up is all that the common value costs.
plain_keys: set[str] = set()
"""Keys known not to hold a secret. Read only; empty while redaction is off."""
clean_texts: set[str] = set()
"""Short texts known to be free of secrets. Read only; empty while redaction is off."""
_own_keys: frozenset[str] = frozenset()
_optional: tuple[Shape, ...] = ()
_own_shapes: dict[str, Pattern[str]] = {}
_is_on = True


def configure(
    *,
    enabled: bool = True,
    keys: Iterable[str] = (),
    shapes: Mapping[str, Pattern[str]] | None = None,
    optional: Iterable[str] = (),
) -> None:
    """Configure redaction beyond what is on by default.

    Args:
        enabled: Whether anything is redacted.
        keys: Names of further keys that hold secrets, in any case.
        shapes: Further expressions that match secrets in texts, by rule name.
        optional: Rules of the registry's optional shapes, such as `email`.

    Raises:
        ValueError: No optional shape has that name.
    """
    global _is_on, _own_keys, _own_shapes, _optional  # noqa: PLW0603 - one configuration to a process
    wanted = list(optional)
    if unknown := set(wanted) - OPTIONAL.keys():
        raise ValueError(f"no optional shapes: {', '.join(sorted(unknown))}; there are {', '.join(OPTIONAL)}")
    _optional = tuple(OPTIONAL[rule] for rule in wanted)
    _own_keys = frozenset(key.lower() for key in keys)
    _own_shapes = dict(shapes or {})
    _is_on = enabled
    plain_keys.clear()
    clean_texts.clear()


def hits() -> dict[str, int]:
    """Return the number of findings in this process, by rule."""
    return dict(_hits)


def redact(value: Any) -> Any:  # noqa: ANN401 - returns the type that it takes
    """Return the value without secrets; the same object if it has none.

    Searches mappings, lists, tuples and sets. An exception becomes its message. An object of another type is
    returned as it is, and so is one of a subclass that cannot be iterated: whoever turns it into text redacts
    the text.
    """
    return _redact(value, 0) if _is_on else value


def redact_text(text: str) -> str:
    """Return a text without secrets; the same object if it has none."""
    if not _is_on or text in clean_texts:
        return text
    return _redact_text(text)


def is_clean(value: object) -> bool:
    """Return whether a value is a short text that certainly holds no secret; remember the text if it is."""
    if (
        value.__class__ is not str
        or len(value) > _MEMORABLE_LENGTH
        or _optional
        or _own_shapes
        or is_suspect(value)
    ):
        return False
    _remember(value)
    return True


def note_clean(text: str) -> None:
    """Remember a short text that holds no secret by its making, such as a random id: it is not searched.

    It is searched all the same if the program has configured shapes of its own.
    """
    if _is_on and not _optional and not _own_shapes:
        _remember(text)


def redact_metadata(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event's metadata without secrets; the same object if it has none.

    A key that itself holds a secret is redacted too.
    """
    if not _is_on:
        return metadata
    return cast("Mapping[str, Any]", _redact_members(metadata, 0))


def _redact_members(members: Mapping[Any, Any], depth: int) -> Mapping[Any, Any]:
    clean: dict[Any, Any] = {}
    is_clean = True
    for key, value in members.items():
        if key in plain_keys:
            new_key, new = key, _redact(value, depth)
        else:
            new_key, new = _redact_member(key, value, depth)
        is_clean = is_clean and new is value and new_key is key
        clean[new_key] = new
    return members if is_clean else clean


def _redact_member(key: object, value: Any, depth: int) -> tuple[Any, Any]:  # noqa: ANN401 - as redact
    """Return a key and its value without secrets; remember the key if it says nothing of its value."""
    name = key if isinstance(key, str) else str(key)
    clean_name = _redact_text(name)
    clean_key = key if clean_name is name else clean_name
    if is_secret_key(name) or name.lower() in _own_keys:
        if value is None or isinstance(value, bool) or value == REDACTED:
            return clean_key, value
        _count(KEY_RULE)
        return clean_key, REDACTED
    if clean_key is key and isinstance(key, str):
        if len(plain_keys) >= _MEMORY:
            plain_keys.clear()
        plain_keys.add(key)
    return clean_key, _redact(value, depth)


def _redact(value: Any, depth: int) -> Any:  # noqa: ANN401, PLR0911 - as redact; one return a kind of value
    if value.__class__ in PLAIN_TYPES:
        return value
    if isinstance(value, str):
        return value if value in clean_texts else _redact_text(value)
    if isinstance(value, BaseException):
        try:
            return _redact_text(str(value))
        except Exception:  # noqa: BLE001 - an error's own __str__ may raise
            return UNREADABLE
    if isinstance(value, (bytes, bytearray)):
        return _redact_bytes(value)
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return TOO_DEEP if depth >= DEPTH_LIMIT else _redact_container(value, depth)  # pyright: ignore[reportUnknownArgumentType]
    return value


def _redact_container(value: Any, depth: int) -> Any:  # noqa: ANN401 - as redact
    kind = cast("type[Any]", value.__class__)
    try:
        return (_redact_members if issubclass(kind, Mapping) else _redact_items)(value, depth + 1)
    except Exception:
        if kind in _CONTAINERS:
            raise
        return value  # a subclass that refuses iteration is one value


def _redact_items(value: list[Any] | tuple[Any, ...] | set[Any] | frozenset[Any], depth: int) -> Any:  # noqa: ANN401
    clean = [_redact(item, depth) for item in value]
    if all(new is old for new, old in zip(clean, value, strict=True)):
        return value
    return tuple(clean) if isinstance(value, tuple) else clean


def _redact_bytes(value: bytes | bytearray) -> bytes | bytearray:
    text = value.decode("latin-1")
    clean = _redact_text(text)
    return value if clean is text else clean.encode("latin-1", "replace")


def _redact_text(text: str) -> str:
    original = text
    if len(text) > TEXT_LIMIT:
        text = text[:TEXT_LIMIT]
    if _optional or is_suspect(text):
        text = _redact_shapes(text)
    for rule, shape in _own_shapes.items():
        text = _replace(rule, shape, REDACTED, text)
    if text is original and len(text) <= _MEMORABLE_LENGTH:
        _remember(text)
    return text


def _remember(text: str) -> None:
    if len(clean_texts) >= _MEMORY:
        clean_texts.clear()
    clean_texts.add(text)


def _redact_shapes(text: str) -> str:
    lowered = text.lower()
    for shape in (*SHAPES.values(), *_optional):
        searched = lowered if shape.ignores_case else text
        for anchor in shape.anchors:
            if anchor in searched:
                text = _replace(shape.rule, shape.pattern, shape.replacement, text)
                break
    return text


def _replace(rule: str, shape: Pattern[str], replacement: str, text: str) -> str:
    if shape.search(text) is None:
        return text
    replaced, times = shape.subn(replacement, text)
    if replaced == text:  # redacted before
        return text
    _count(rule, times)
    return replaced


def _count(rule: str, times: int = 1) -> None:
    _hits[rule] = _hits.get(rule, 0) + times
