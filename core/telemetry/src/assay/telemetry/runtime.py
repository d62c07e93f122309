"""OpenTelemetry's current context, and its keys there, asked for without a detour.

The API has no public names for the keys, and its `get_current` and `attach` only hand on to the object that
does the work; each span asks five times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context

_runtime = getattr(context, "_RUNTIME_CONTEXT", context)

get_current: Callable[[], Context] = _runtime.get_current
"""As `opentelemetry.context.get_current`."""
attach: Callable[[Context], Any] = _runtime.attach
"""As `opentelemetry.context.attach`."""

SUPPRESS_KEY = context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
"""Has a true value where nothing is to be instrumented."""
SPAN_KEY = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""Has the current span."""
BAGGAGE_KEY = next(iter(baggage.set_baggage("key", "value", Context())))
"""Has the baggage, a mapping."""
