"""The correlation id: joins all events with one cause, across processes.

```python
with correlation("order-17"):  # every event inside carries it, and outgoing requests do, as baggage
    execute("shop.cart.emptied")
```

An event without an id (metadata `correlation_id`) gets the first that exists of: the id in OpenTelemetry's
baggage (`assay.correlation_id`); the id of the enclosing `correlation` or span; the id in the process's
environment (`ASSAY_CORRELATION_ID`); the current trace's id as a UUID; a new UUID.

Across borders: asyncio tasks inherit it; for a thread use `carry(function)`, for a process `environment()`,
for a message or a call `inject(headers)` and `extract(headers)`.
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

from assay.telemetry._otel_context import BAGGAGE_KEY as _BAGGAGE
from assay.telemetry._otel_context import OPEN_SPAN_KEY, attach, get_current
from assay.telemetry.ambient import correlation_id as _ambient
from assay.telemetry.redaction import note_clean

BAGGAGE_KEY = "assay.correlation_id"
HEADER = "x-snakepit-correlation-id"
VARIABLE = "ASSAY_CORRELATION_ID"

P = ParamSpec("P")
T = TypeVar("T")

_ACCEPTABLE = re.compile(r"[\x21-\x7e]{1,128}")
_random = random.Random()  # noqa: S311 - its own, so that a program's random.seed() does not repeat ids


@contextmanager
def correlation(correlation_id: str | None = None) -> Generator[str]:
    """Set the correlation id for the block; yield it.

    Args:
        correlation_id: 1 to 128 printable ASCII characters, no blanks. None: the current one, else a new one.

    Raises:
        ValueError: It has other characters, or too many.
    """
    chosen = current() if correlation_id is None else correlation_id
    if not is_correlation_id(chosen):
        raise ValueError(
            f"{chosen!r} is not a correlation id: give 1 to 128 printable ASCII characters, no blanks"
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
    """Return the correlation id that an event emitted here would get; a new one if there is none."""
    context = get_current()
    entries: Any = context.get(_BAGGAGE)
    if entries:
        given = entries.get(BAGGAGE_KEY)
        if given is not None and is_correlation_id(given):
            return given
    found = _ambient.get()
    if found is not None:
        return found
    open_span: Any = context.get(OPEN_SPAN_KEY)
    if open_span is not None and not open_span.closed and "correlation_id" in open_span.metadata:
        return open_span.metadata["correlation_id"]
    if _inherited is not None:
        return _inherited
    span = trace.get_current_span(context)
    if span is trace.INVALID_SPAN:
        return new_id()
    trace_id = span.get_span_context().trace_id
    return _as_uuid(trace_id) if trace_id else new_id()


def new_id() -> str:
    """Return a new UUID, version 4 (RFC 9562, section 5.4).

    It is cheaper than `uuid.uuid4`, and no secret: it comes from a generator that the system's seeds once for
    each process.
    """
    bits = _random.getrandbits(128) & ~(0xF << 76) & ~(0x3 << 62) | (0x4 << 76) | (0x2 << 62)
    text = _as_uuid_text(bits)
    note_clean(text)
    return text


def carry(function: Callable[P, T]) -> Callable[P, T]:
    """Return a function that runs `function` with the correlation id and the span that are current now.

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
    """Return environment variables that pass the current correlation id to a child process.

    Args:
        variables: Further variables; None: those of this process.
    """
    return {**(os.environ if variables is None else variables), VARIABLE: current()}


def inject(carrier: MutableMapping[str, str]) -> None:
    """Put the current correlation id into a message's headers, or a gRPC call's metadata."""
    carrier[HEADER] = current()


def extract(carrier: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> str | None:
    """Return the correlation id of a message's headers; None if there is none or it is malformed.

    Args:
        carrier: Headers as a mapping or as pairs; names in any case; values may be bytes or lists.
    """
    pairs = cast("Iterable[tuple[object, Any]]", carrier.items() if isinstance(carrier, Mapping) else carrier)
    for name, value in pairs:
        if _string(name).lower() == HEADER:
            given = _string(value[0] if value.__class__ in {list, tuple} and value else value)
            if is_correlation_id(given):
                return given
    return None


@lru_cache(256)
def is_correlation_id(correlation_id: object) -> bool:
    """Return whether a value is 1 to 128 printable ASCII characters without blanks."""
    return isinstance(correlation_id, str) and _ACCEPTABLE.fullmatch(correlation_id) is not None


def _string(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _as_uuid_text(bits: int) -> str:
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_as_uuid = lru_cache(256)(_as_uuid_text)


def _read_environment() -> str | None:
    given = os.environ.get(VARIABLE, "").strip()
    return given if is_correlation_id(given) else None


_inherited = _read_environment()

if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_random.seed)
