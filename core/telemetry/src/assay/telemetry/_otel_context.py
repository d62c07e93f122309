"""OpenTelemetry's current context and its keys, read without a detour.

The API has no public names for the keys, and its `get_current` and `attach` only forward to the runtime
context, which forwards to a context variable. An operation of an instrumented library makes a dozen such
calls. `tests/test_private_api.py` fails when one of these names moves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import baggage, context, trace
from opentelemetry.context import Context, create_key

_runtime: Any = getattr(context, "_RUNTIME_CONTEXT", context)
_variable: Any = getattr(_runtime, "_current_context", _runtime)
"""The variable of the default runtime context; another one, named by OTEL_PYTHON_CONTEXT, may have none."""
_is_default = type(_runtime).__name__ == "ContextVarsRuntimeContext" and _variable is not _runtime

get_current: Callable[[], Context] = _variable.get if _is_default else _runtime.get_current
"""Return the current context, as `opentelemetry.context.get_current` does."""
attach: Callable[[Context], Any] = _variable.set if _is_default else _runtime.attach
"""Make a context current, as `opentelemetry.context.attach` does."""

SUPPRESS_KEY = context._SUPPRESS_INSTRUMENTATION_KEY  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
"""Holds a true value where instrumentation is suppressed."""
PLAIN_SUPPRESS_KEY = "suppress_instrumentation"
"""The older key for the same, which upstream's helpers still read and write."""
SPAN_KEY = next(iter(trace.set_span_in_context(trace.INVALID_SPAN, Context())))
"""Holds the current span."""
BAGGAGE_KEY = next(iter(baggage.set_baggage("key", "value", Context())))
"""Holds the baggage, a mapping."""
OPEN_SPAN_KEY = create_key("assay-open-span")
"""Holds the bridge's record of the current span (`_bridge.open_spans.OpenSpan`)."""
