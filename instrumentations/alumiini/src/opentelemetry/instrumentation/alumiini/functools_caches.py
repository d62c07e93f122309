"""Caches of `functools.lru_cache` and `functools.cache` that you name: their hits and misses as series.

```python
from functools import lru_cache

from opentelemetry.instrumentation.alumiini.functools_caches import FunctoolsInstrumentor


@lru_cache
def find_commit(branch):
    return branch


FunctoolsInstrumentor().instrument(caches={"commits": find_commit})
```

Nothing is patched: these caches are objects of C that count their hits and misses themselves, and
`cache_info()` returns the counts. So any function with a `cache_info()` that has `hits` and `misses` may be
named, such as one of `cachetools.cached(cache, info=True)`. Accesses between a collection of the metrics and
`cache_clear()` are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from opentelemetry.instrumentation.alumiini._cache_counts import Accesses, count, forget
from opentelemetry.instrumentation.alumiini._named_caches import NamedCaches
from opentelemetry.instrumentation.alumiini.instrumentor import ALUMIINI

from assay.instrumentation import Foreign, Hooks, LibraryInstrumentor, Patches, guarded

_ADAPTER = "functools"


class FunctoolsInstrumentor(LibraryInstrumentor):
    """Makes the named caches of functions emit `alumiini.cache`.

    Args (of `instrument`):
        caches: The caches by their names, or references `module:attribute` to them; else ASSAY_CACHES.
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.
    """

    subsystem = ALUMIINI
    _caches = NamedCaches({})

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        self._caches = NamedCaches(kwargs.pop("caches", None))
        super()._instrument(**kwargs)

    def patch(self, patches: Patches, hooks: Hooks) -> None:  # noqa: ARG002 - nothing is patched
        """Read the caches at each collection."""
        if self._caches:
            count(_ADAPTER, self._read, self.meter_provider)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        forget(_ADAPTER)
        self._caches = NamedCaches({})
        super()._uninstrument(**kwargs)

    def _read(self) -> Iterator[Accesses]:
        for name, cache in self._caches.found():
            info = _info(cache)
            if info is not None:
                yield Accesses(name, info.hits, info.misses)


@guarded
def _info(cache: Foreign) -> Foreign:
    return cache.cache_info() if callable(getattr(cache, "cache_info", None)) else None
