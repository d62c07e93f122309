"""Routes, parallel branches, scatter and item readers: spans whose phases have names of their own."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import Span
from assay.telemetry.spans import Phases

_BRANCHES = Phases(exception="error")
_SCATTER = Phases(stop="complete", exception="failed")
_ITEMS = Phases(start="init", stop="complete", exception="error")


def route(asset: str, *, run_id: str | None = None) -> Span:
    """Return the span of a choice between branches: `.start`, `.stop`, `.error`."""
    return Span("flowstone.route", phases=_BRANCHES, **described(asset=asset, run_id=run_id))


def parallel(asset: str, *, run_id: str | None = None) -> Span:
    """Return the span of branches that run side by side: `.start`, `.stop`, `.error`.

    Inside, `emit` takes `branch_start`, `branch_complete`, `branch_fail`.
    """
    return Span("flowstone.parallel", phases=_BRANCHES, **described(asset=asset, run_id=run_id))


def scatter(asset: str, *, run_id: str | None = None) -> Span:
    """Return the span of one asset made in many instances: `.start`, `.complete`, `.failed`.

    Inside, `emit` takes `cancel`, `instance_complete`, `instance_fail`, `gather_ready`, `batch_create`,
    `batch_start`, `batch_complete`, `batch_fail`.
    """
    return Span("flowstone.scatter", phases=_SCATTER, **described(asset=asset, run_id=run_id))


def item_reader(asset: str, *, run_id: str | None = None) -> Span:
    """Return the span of reading the items of a scatter: `.init`, `.complete`, `.error`.

    Inside, `emit` takes `read`.
    """
    return Span("flowstone.item_reader", phases=_ITEMS, **described(asset=asset, run_id=run_id))
