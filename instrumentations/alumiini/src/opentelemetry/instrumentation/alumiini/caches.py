"""Cache accesses: `alumiini.cache.access`."""

from __future__ import annotations

from assay.telemetry import execute


def cache_access(cache_name: str, *, hit: bool) -> None:
    """Emit an access to a cache.

    Args:
        cache_name: Name of the cache; a label of the series.
        hit: Whether the cache held the value.
    """
    execute("alumiini.cache.access", None, {"cache_name": cache_name, "result": "hit" if hit else "miss"})
