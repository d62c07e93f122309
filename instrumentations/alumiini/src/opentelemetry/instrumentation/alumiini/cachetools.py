"""cachetools (5.3 and later): the hits and misses of caches that you name, as series.

```python
from cachetools import TTLCache
from opentelemetry.instrumentation.alumiini.cachetools import CachetoolsInstrumentor

manifests = TTLCache(maxsize=100, ttl=60)

CachetoolsInstrumentor().instrument(caches={"manifests": manifests})
```

A cache, or a function of `cachetools.cached` that has one, may be named. `cache[key]` and `cache.get(key)`
are accesses; what a cache does to evict, expire, remove or add items is not. A function with `cache_info()`
is left to `opentelemetry.instrumentation.alumiini.functools_caches`, which reads it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar
from threading import RLock
from typing import Any

from opentelemetry.instrumentation.alumiini._cache_counts import Accesses, count, forget
from opentelemetry.instrumentation.alumiini._named_caches import NamedCaches
from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI

from assay.instrumentation import Call, Foreign, Hooks, LibraryInstrumentor, Patches, Target

_ADAPTER = "cachetools"
_GETTERS = (
    Target("cachetools", "Cache.__getitem__"),
    # These call the `Cache.__getitem__` that they found when they were defined.
    Target("cachetools", "LFUCache.__getitem__"),
    Target("cachetools", "LRUCache.__getitem__"),
    Target("cachetools", "MRUCache.__getitem__", is_optional=True),  # until 5.5
    Target("cachetools", "TTLCache.__getitem__"),
    Target("cachetools", "TLRUCache.__getitem__"),
)
_NO_ACCESSES = (
    Target("cachetools", "Cache.__setitem__"),  # evicts items of the class `Cache`
    Target("cachetools", "Cache.pop"),  # evicts those of the others
    Target("cachetools", "Cache.setdefault"),
    Target("cachetools", "TTLCache.expire"),
    Target("cachetools", "TLRUCache.expire"),
)
"""Methods that read items without anybody asking for them."""

_inside: ContextVar[object] = ContextVar("alumiini_cachetools", default=None)
"""The cache of which one of these methods, or an access that is counted, is running."""


class CachetoolsInstrumentor(LibraryInstrumentor):
    """Makes named caches of cachetools emit `alumiini.cache`.

    Args (of `instrument`):
        caches: The caches by their names, or references `module:attribute` to them; else ASSAY_CACHES.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    dependencies = ("cachetools >= 5.3",)
    _counts: _Counts | None = None

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        self._counts = _Counts(NamedCaches(kwargs.pop("caches", None)))
        super()._instrument(**kwargs)

    def patch(self, patches: Patches, hooks: Hooks) -> None:  # noqa: ARG002 - accesses have no hooks
        """Patch the classes of caches, if a cache is named."""
        counts = self._counts
        if counts is None or not counts.caches:
            return
        count(_ADAPTER, counts.read, self.meter_provider)
        for target in _GETTERS:
            patches.wrap(target, counts.get_item, counts.concerns)
        patches.wrap(Target("cachetools", "Cache.get"), counts.get_item, counts.concerns)
        for target in _NO_ACCESSES:
            patches.wrap(target, _leave_out, counts.concerns)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        forget(_ADAPTER)
        super()._uninstrument(**kwargs)
        self._counts = None


class _Counts:
    """The accesses of the named caches.

    Args:
        caches: The caches.
    """

    def __init__(self, caches: NamedCaches) -> None:
        self.caches = caches
        self._lock = RLock()
        self._counts: dict[str, list[int]] = {}

    def concerns(self, cache: Foreign, _args: tuple[Any, ...], _kwargs: dict[str, Any]) -> bool:
        """Return whether a call is one of a named cache, outside of another one."""
        return _inside.get() is not cache and self._name_of(cache) is not None

    def get_item(self, call: Call) -> Foreign:
        """Wrap `Cache.__getitem__` and `Cache.get`."""
        name = self._name_of(call.instance)
        # Before the call, because a cache with `__missing__` raises nothing.
        key = call.args[0] if call.args else call.kwargs["key"]
        is_miss = key not in call.instance
        if name is not None:
            with self._lock:
                self._counts.setdefault(name, [0, 0])[is_miss] += 1
        return _leave_out(call)

    def read(self) -> Iterator[Accesses]:
        """Yield the counts of the caches that were accessed."""
        for name, (hits, misses) in list(self._counts.items()):
            yield Accesses(name, hits, misses)

    def _name_of(self, cache: Foreign) -> str | None:
        for name, found in self.caches.found():
            has_info = callable(getattr(found, "cache_info", None))
            if found is cache or (getattr(found, "cache", None) is cache and not has_info):
                return name
        return None


def _leave_out(call: Call) -> Foreign:
    """Call cachetools, and count no access inside."""
    outer = _inside.get()
    _inside.set(call.instance)
    try:
        return call()
    finally:
        _inside.set(outer)
