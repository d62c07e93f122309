"""Ending a span: with what its last event says, and with its error if it had one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer

from assay.semconv.catalogue import Span
from assay.telemetry.opened import Opened
from assay.telemetry.plan import extractor
from assay.telemetry.spans import qualified_name
from assay.telemetry.values import text

OTHER_ERROR = "_OTHER"
"""OpenTelemetry's `error.type` of an error that has no name."""


STACKTRACE_LIMIT = 16_384
"""Characters kept of a stack trace: its end, where the error is. Cut after redaction, never before."""


class Closing:
    """How one phase ends one kind of span.

    Args:
        tracer: Starts the span where only its end was told.
        span: The kind of span.
        is_failure: The phase tells of an error.
        correlation_attribute: Carries the correlation id.
    """

    def __init__(self, tracer: Tracer, span: Span, *, is_failure: bool, correlation_attribute: str) -> None:
        self._tracer = tracer
        self._name = span.event
        self._kind = SpanKind[span.kind.upper()]
        self._is_failure = is_failure
        self._correlation_attribute = correlation_attribute
        self._extract_start = extractor(span.attributes)
        self._extract = extractor(span.stop_attributes)
        self._is_empty = not span.stop_attributes and not is_failure

    def explain(self, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a failure's metadata with `error_type` and `error_message`, made up if need be."""
        reason = metadata.get("reason")
        kind = metadata.get("error_type") or metadata.get("kind")
        if not kind:
            kind = qualified_name(type(reason)) if isinstance(reason, BaseException) else OTHER_ERROR
        message = metadata.get("error_message")
        if message is None and reason is not None:
            message = text(reason)
        return {**metadata, "error_type": kind, "error_message": message}

    def reopen(
        self, context: Context, end_time: int, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> Opened:
        """Return a span whose start was not told, begun as long ago as it took; it is never current."""
        attributes: dict[str, Any] = {}
        self._extract_start(measurements, metadata, attributes)
        correlation_id = metadata.get("correlation_id")
        if correlation_id is not None:
            attributes[self._correlation_attribute] = correlation_id
        start_time = end_time - int(measurements["duration"])
        span = self._tracer.start_span(
            self._name, context=context, kind=self._kind, attributes=attributes, start_time=start_time
        )
        return Opened(span, context, start_time, metadata, attributes)

    def end(
        self, opened: Opened, end_time: int, measurements: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> None:
        """End a span with the attributes, and the error, of its last event."""
        span = opened.span
        if not self._is_empty or metadata is not opened.metadata:
            attributes: dict[str, Any] = {}
            if metadata is not opened.metadata:  # what was learnt on the way
                self._extract_start(measurements, metadata, attributes)
                known = opened.attributes
                attributes = {k: v for k, v in attributes.items() if known.get(k) != v}
            self._extract(measurements, metadata, attributes)
            if self._is_failure:
                attributes.setdefault("error.type", text(metadata["error_type"]))
                message = metadata.get("error_message")
                span.set_status(Status(StatusCode.ERROR, text(message) if message else None))
                if metadata.get("reason") is not None:
                    span.add_event("exception", _describe(metadata), end_time)
            for key, value in attributes.items():  # one by one is cheaper than set_attributes, for a few
                span.set_attribute(key, value)
        span.end(end_time)
        opened.leave()


def _describe(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Return the exception's attributes (semantic conventions, "Exceptions on spans")."""
    attributes = {
        "exception.type": text(metadata.get("kind") or metadata["error_type"]),
        "exception.message": text(metadata["reason"]),
    }
    stacktrace = metadata.get("stacktrace")
    if stacktrace:
        attributes["exception.stacktrace"] = str(stacktrace)[-STACKTRACE_LIMIT:]
    return attributes
