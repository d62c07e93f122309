"""The accesses of named caches, which are read before each collection of metrics.

An event for each access would cost more than most caches save.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeAlias

from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI
from opentelemetry.metrics import MeterProvider

from assay.instrumentation import guarded
from assay.semconv import events
from assay.telemetry import bridge, execute


class Accesses(NamedTuple):
    """How often a cache was accessed since its counting began.

    Args:
        name: Name of the cache.
        hits: How often it held the value.
        misses: How often it did not.
    """

    name: str
    hits: int = 0
    misses: int = 0


Read: TypeAlias = Callable[[], Iterable[Accesses]]

_reads: dict[str, Read] = {}
"""The functions that read the caches, by adapter."""
_last: dict[tuple[str, str], Accesses] = {}
"""The last reading of each cache, by adapter and name."""
_lock = threading.Lock()


def count(adapter: str, read: Read, provider: MeterProvider | None) -> None:
    """Emit what caches have counted since the last time, before each collection, until `forget`.

    Args:
        adapter: Name of the adapter.
        read: Returns the counts of its caches.
        provider: The provider whose metrics are collected; None is the global one.
    """
    _reads[adapter] = read
    bridge.before_collection(events.ALUMIINI_CACHE_COUNT, _emit, provider, ALUMIINI.scope())


def forget(adapter: str) -> None:
    """Emit what an adapter's caches have counted, and forget them."""
    _emit()
    _reads.pop(adapter, None)
    for key in [key for key in _last if key[0] == adapter]:
        del _last[key]


@guarded
def _emit() -> None:
    with _lock:  # several readers may collect at the same time
        readings = list(_readings())
    for last, reading in readings:
        # `cache_clear()` sets both counts of a cache to 0.
        is_cleared = reading.hits < last.hits or reading.misses < last.misses
        before = Accesses(reading.name) if is_cleared else last
        _execute(reading.name, "hit", reading.hits - before.hits)
        _execute(reading.name, "miss", reading.misses - before.misses)


def _execute(name: str, result: str, accesses: int) -> None:
    if accesses:
        execute(events.ALUMIINI_CACHE_COUNT, {"accesses": accesses}, {"cache_name": name, "result": result})


def _readings() -> Iterator[tuple[Accesses, Accesses]]:
    """Yield the last and the present reading of each cache."""
    for adapter, read in list(_reads.items()):
        for reading in read():
            key = adapter, reading.name
            last, _last[key] = _last.get(key, Accesses(reading.name)), reading
            yield last, reading


@guarded
def _leave_to_the_parent() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when the process forked
    _lock = threading.Lock()
    for _ in _readings():
        pass


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_the_parent)
