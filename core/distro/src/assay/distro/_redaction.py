"""Redacts spans, log records and metrics of other instrumentations and `logging` before their export.

The bus redacts its own events. `assay.telemetry.redaction` defines what a secret is. What holds none is
returned as it is, not copied.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import Metric, MetricsData, ResourceMetrics, ScopeMetrics
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, Status, TraceState
from opentelemetry.util.types import Attributes

from assay.telemetry.redaction import REDACTED, redact, redact_metadata, redact_text

_Item = TypeVar("_Item")


def redacted_span(span: ReadableSpan) -> ReadableSpan:
    """Return the span, or a copy without the secrets in it, its events, links, resource and scope."""
    # The properties return a new object at each call, so each is called once.
    contents: dict[str, tuple[Any, Callable[[Any], Any]]] = {
        "_name": (span.name, redact_text),
        "_context": (span.context, redacted_context),
        "_attributes": (span.attributes, _attributes),
        "_events": (span.events, lambda events: _each(events, _event)),
        "_links": (span.links, lambda links: _each(links, _link)),
        "_status": (span.status, _status),
        "_resource": (span.resource, _RESOURCES.redacted),
        "_instrumentation_scope": (span.instrumentation_scope, _scope),
    }
    changes = {field: (old, redacted(old)) for field, (old, redacted) in contents.items()}
    if all(new is old for old, new in changes.values()):
        return span
    # A copy, not a new span: upstream's constructor does not take the counts of dropped attributes.
    changed = copy.copy(span)
    for field, (old, new) in changes.items():
        if new is not old:
            setattr(changed, field, new)
    return changed


def redacted_record(record: ReadableLogRecord) -> ReadableLogRecord:
    """Return the log record, or a copy without the secrets in it, its resource and its scope."""
    log = record.log_record
    changes = {
        "body": (log.body, redact(log.body)),
        "attributes": (log.attributes, _attributes(log.attributes)),
        "event_name": (log.event_name, _text(log.event_name)),
        "severity_text": (log.severity_text, _text(log.severity_text)),
    }
    if any(new is not old for old, new in changes.values()):
        log = copy.copy(log)
        for field, (_, new) in changes.items():
            setattr(log, field, new)
    return _replaced(
        record,
        log_record=log,
        resource=_RESOURCES.redacted(record.resource),
        instrumentation_scope=_scope(record.instrumentation_scope),
    )


def redacted_metrics(data: MetricsData) -> MetricsData:
    """Return the metrics, or a copy without the secrets in names, labels, exemplars, resources and scopes."""
    return _replaced(data, resource_metrics=_each(data.resource_metrics, _resource_metrics))


def redacted_context(context: SpanContext) -> SpanContext:
    """Return the span context, or a copy without the secrets in its trace state."""
    if not context or not context.trace_state:
        return context
    clean = redact_metadata(context.trace_state)
    if clean is context.trace_state:
        return context
    # TraceState leaves out an entry whose redacted value has a form that W3C Trace Context does not allow.
    state = TraceState([(key, value) for key, value in clean.items() if key != REDACTED])
    return SpanContext(context.trace_id, context.span_id, context.is_remote, context.trace_flags, state)


def _resource_metrics(item: ResourceMetrics) -> ResourceMetrics:
    return _replaced(
        item,
        resource=_RESOURCES.redacted(item.resource),
        scope_metrics=_each(item.scope_metrics, _scope_metrics),
        schema_url=_text(item.schema_url),
    )


def _scope_metrics(item: ScopeMetrics) -> ScopeMetrics:
    return _replaced(
        item,
        scope=_scope(item.scope),
        metrics=_each(item.metrics, _metric),
        schema_url=_text(item.schema_url),
    )


def _metric(metric: Metric) -> Metric:
    data = metric.data
    return _replaced(
        metric,
        name=redact_text(metric.name),
        description=_text(metric.description),
        unit=_text(metric.unit),
        data=_replaced(data, data_points=_each(data.data_points, _point)),
    )


def _point(point: Any) -> Any:  # noqa: ANN401 - a point of one of three types
    return _replaced(
        point, attributes=_attributes(point.attributes), exemplars=_each(point.exemplars, _exemplar)
    )


def _exemplar(exemplar: Any) -> Any:  # noqa: ANN401 - upstream's type is not public in all versions
    return _replaced(exemplar, filtered_attributes=_attributes(exemplar.filtered_attributes))


class _Resources:
    """Redacts resources, and remembers the last one: a process has one."""

    def __init__(self) -> None:
        self._last: tuple[Resource, Resource] | None = None

    def redacted(self, resource: Resource) -> Resource:
        """Return the resource, or one without secrets; the same object for the same resource."""
        last = self._last
        if last is not None and last[0] is resource:
            return last[1]
        attributes, schema = _attributes(resource.attributes), _text(resource.schema_url)
        is_clean = attributes is resource.attributes and schema is resource.schema_url
        clean = resource if is_clean else Resource(dict(attributes or {}), schema)
        self._last = (resource, clean)
        return clean


_RESOURCES = _Resources()


def _scope(scope: InstrumentationScope | None) -> InstrumentationScope | None:
    if scope is None:
        return None
    name, version, schema = redact_text(scope.name), _text(scope.version), _text(scope.schema_url)
    attributes = _attributes(scope.attributes)
    if (name, version, schema) == (scope.name, scope.version, scope.schema_url) and (
        attributes is scope.attributes
    ):
        return scope
    return InstrumentationScope(name, version, schema, attributes)


def _attributes(attributes: Mapping[str, Any] | None) -> Attributes:
    """Return the attributes without secrets; the same object if they hold none."""
    if not attributes:
        return attributes
    redacted = redact_metadata(attributes)
    return attributes if redacted is attributes else dict(redacted)


def _event(event: Any) -> Any:  # noqa: ANN401 - upstream's type differs between versions
    name, attributes = redact_text(event.name), _attributes(event.attributes)
    if name is event.name and attributes is event.attributes:
        return event
    return Event(name, attributes, event.timestamp)


def _link(link: Link) -> Link:
    context, attributes = redacted_context(link.context), _attributes(link.attributes)
    if context is link.context and attributes is link.attributes:
        return link
    return Link(context, attributes)


def _status(status: Status) -> Status:
    description = _text(status.description)
    return status if description is status.description else Status(status.status_code, description)


def _text(text: str | None) -> str | None:
    return text and redact_text(text)


def _each(items: Sequence[_Item], redacted: Callable[[_Item], _Item]) -> Sequence[_Item]:
    """Return the items without secrets; the same object if they hold none."""
    results = tuple(redacted(item) for item in items)
    return items if all(new is old for new, old in zip(results, items, strict=True)) else results


def _replaced(item: Any, **fields: Any) -> Any:  # noqa: ANN401 - one of the SDK's dataclasses
    """Return a dataclass's object, or a copy if one of the fields is another object."""
    if all(getattr(item, name) is value for name, value in fields.items()):
        return item
    return dataclasses.replace(item, **fields)
