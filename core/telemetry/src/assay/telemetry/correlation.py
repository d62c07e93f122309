"""The correlation id: one name for all that happens because of one thing, in whatever process.

```python
with correlation("order-17"):  # every event inside carries it, and so do outgoing requests, as baggage
    execute("shop.cart.emptied")
```

An event that is not given one (metadata `correlation_id`) gets, in this order: that of OpenTelemetry's
baggage (`assay.correlation_id`), that of the enclosing `correlation` or span, that of the process's
environment (`ASSAY_CORRELATION_ID`), the current trace's id as a UUID, a new UUID.

Over a border: asyncio tasks have it by themselves; for a thread, `carry(function)`; for a process,
`environment()`; for a message or a call, `inject(headers)` and `extract(headers)`.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Generator, Iterable, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import copy_context
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

from opentelemetry import baggage, trace

from assay.telemetry.ambient import correlation_id as _ambient
from assay.telemetry.opened import OPENED_KEY
from assay.telemetry.runtime import BAGGAGE_KEY as _BAGGAGE
from assay.telemetry.runtime import attach, get_current

BAGGAGE_KEY = "assay.correlation_id"
HEADER = "x-snakepit-correlation-id"
VARIABLE = "ASSAY_CORRELATION_ID"

P = ParamSpec("P")
T = TypeVar("T")

_ACCEPTABLE = re.compile(r"[\x21-\x7e]{1,128}")
_random = random.Random()  # noqa: S311 - its own, so that a program's random.seed() makes no two ids the same


@contextmanager
def correlation(correlation_id: str | None = None) -> Generator[str]:
    """Give a correlation id to everything inside; yield it.

    Args:
        correlation_id: 1 to 128 printable ASCII characters, no blanks. None: the current one, else a new one.

    Raises:
        ValueError: Other characters, or too many.
    """
    chosen = current() if correlation_id is None else correlation_id
    if not _is_acceptable(chosen):
        raise ValueError(
            f"{chosen!r} is no correlation id: give 1 to 128 printable ASCII characters, no blanks"
        )
    before, outside = _ambient.get(), get_current()
    inside = baggage.set_baggage(BAGGAGE_KEY, chosen, outside)
    _ambient.set(chosen)
    attach(inside)
    try:
        yield chosen
    finally:
        # Not by token: that would fail where the block ends in another context than it began in.
        if _ambient.get() == chosen:
            _ambient.set(before)
        if get_current() is inside:
            attach(outside)


def current() -> str:
    """Return the correlation id that an event would get here; a new one if nothing gives one."""
    context = get_current()
    entries: Any = context.get(_BAGGAGE)
    if entries:
        given = entries.get(BAGGAGE_KEY)
        if given is not None and _is_acceptable(given):
            return given
    found = _ambient.get()
    if found is not None:
        return found
    opened: Any = context.get(OPENED_KEY)
    if opened is not None and not opened.closed and "correlation_id" in opened.metadata:
        return opened.metadata["correlation_id"]
    if _inherited is not None:
        return _inherited
    span = trace.get_current_span(context)
    if span is trace.INVALID_SPAN:
        return _made()
    trace_id = span.get_span_context().trace_id
    return _as_uuid(trace_id) if trace_id else _made()


def carry(function: Callable[P, T]) -> Callable[P, T]:
    """Return `function` so that it runs with the correlation id and the span that are current now.

    ```python
    executor.submit(carry(work), order)
    ```
    """
    context = copy_context()

    @wraps(function)
    def carried(*args: P.args, **kwargs: P.kwargs) -> T:
        return context.copy().run(function, *args, **kwargs)

    return carried


def environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return environment variables for a process that goes on with the current correlation id.

    Args:
        variables: What else they hold; None is this process's own.
    """
    return {**(os.environ if variables is None else variables), VARIABLE: current()}


def inject(carrier: MutableMapping[str, str]) -> None:
    """Put the current correlation id into a message's headers, or a gRPC call's metadata."""
    carrier[HEADER] = current()


def extract(carrier: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str | None:
    """Return the correlation id of a message's headers; None if there is none, or one that cannot be.

    Args:
        carrier: Headers as a mapping or as pairs, in any case; values may be bytes or lists.
    """
    pairs = cast("Iterable[tuple[object, Any]]", carrier.items() if isinstance(carrier, Mapping) else carrier)
    for name, value in pairs:
        if _string(name).lower() == HEADER:
            given = _string(value[0] if value.__class__ in {list, tuple} and value else value)
            if _is_acceptable(given):
                return given
    return None


@lru_cache(256)
def _is_acceptable(correlation_id: object) -> bool:
    return isinstance(correlation_id, str) and _ACCEPTABLE.fullmatch(correlation_id) is not None


def _string(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _made() -> str:
    """Return a new UUID, version 4 (RFC 9562, section 5.4)."""
    bits = _random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    return _as_uuid_text(bits)


def _as_uuid_text(bits: int) -> str:
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_as_uuid = lru_cache(256)(_as_uuid_text)


def _read_environment() -> str | None:
    given = os.environ.get(VARIABLE, "").strip()
    return given if _is_acceptable(given) else None


_inherited = _read_environment()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_random.seed)
