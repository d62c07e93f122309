"""An operation of a library: a span on the bus, the OpenTelemetry span it becomes, and the user's hooks.

```python
started = span("shop.store", item=item)
with Operation(started, store, request_hook=hooks["request_hook"]):
    return call()
```
"""

from __future__ import annotations

from types import TracebackType
from typing import Any

from opentelemetry import trace

from assay.instrumentation.hooks import Hook
from assay.telemetry import Span


class Operation:
    """One operation; a context manager.

    Args:
        span: The bus span, not yet started.
        details: Objects of the library; the hooks get them after the OpenTelemetry span.
        request_hook: Called when the span has started: `request_hook(span, *details)`.
        response_hook: Called before it ends: `response_hook(span, *details, result)`, where `result` is the
            exception if one ended the operation.

    Attributes:
        span: The bus span.
        result: The result for the response hook; set it inside.
    """

    def __init__(
        self,
        span: Span,
        *details: object,
        request_hook: Hook | None = None,
        response_hook: Hook | None = None,
    ) -> None:
        self.span = span
        self.result: Any = None
        self._details = details
        # A hook without a function costs nothing.
        self._request_hook = request_hook or None
        self._response_hook = response_hook or None
        self._recording: trace.Span | None = None

    def __enter__(self) -> Operation:  # noqa: PYI034 - typing.Self is not in 3.10
        """Start the span and call the request hook."""
        if self._request_hook is None and self._response_hook is None:
            self.span.__enter__()
            return self
        before = trace.get_current_span()
        self.span.__enter__()
        # Without a bridge that makes a span of the event, the current span is still the caller's.
        current = trace.get_current_span()
        if current is not before and current.is_recording():
            self._recording = current
            if self._request_hook is not None:
                self._request_hook(current, *self._details)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace_back: TracebackType | None,
    ) -> None:
        """Call the response hook and end the span; the exception goes on to the caller."""
        if self._response_hook is not None:
            self._response_hook(
                self._recording, *self._details, self.result if exception is None else exception
            )
        self.span.__exit__(exception_type, exception, trace_back)
