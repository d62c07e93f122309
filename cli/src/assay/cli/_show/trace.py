"""The spans of traces, as a tree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

from assay.cli import _otlp_lines as otlp_lines
from assay.semconv import attributes as keys

LIMIT = 10_000
"""Most spans that are kept in memory, the first in the file."""
_SUBJECTS = (
    keys.FLOWSTONE_ASSET,
    keys.FLOWSTONE_STEP_KEY,
    keys.FLOWSTONE_PARTITION,
    keys.FLOWSTONE_IO_MANAGER,
    keys.ALUMIINI_REPO_NAME,
    keys.ALUMIINI_GIT_OPERATION,
    keys.ALUMIINI_RESOURCE_KIND,
    keys.ALUMIINI_RESOURCE_NAME,
    keys.SNAKEPIT_POOL_NAME,
    keys.SNAKEPIT_COMMAND,
)
"""The attributes that say what a span is about."""
_ERROR = (2, "STATUS_CODE_ERROR")


@dataclass
class Span:
    """A span, and the spans below it.

    Args:
        trace: Id of its trace.
        id: Its id.
        parent: The id of its parent, or empty.
        name: Its name.
        subject: What it is about, such as an asset.
        started: Unix nanoseconds.
        ended: Unix nanoseconds.
        error: The error with which it ended; empty without one.
        children: The spans below it, in the order in which they started.
    """

    trace: str
    id: str
    parent: str
    name: str
    subject: str
    started: int
    ended: int
    error: str
    children: list[Span] = field(default_factory=list["Span"])

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.ended - self.started) / 1e9


@dataclass(frozen=True)
class Trace:
    """The spans of some traces.

    Args:
        roots: The spans without a parent among them, in the order in which they started.
        count: Number of spans in the tree.
        left_out: Number of spans beyond the limit.
    """

    roots: list[Span]
    count: int
    left_out: int


def read_trace(traces: Path, ids: Collection[str]) -> Trace:
    """Return the spans of traces as a tree.

    Args:
        traces: The file of spans.
        ids: The ids of the traces, in hexadecimal.
    """
    spans: dict[str, Span] = {}
    left_out = 0
    for request in otlp_lines.objects_with(traces, [each.encode() for each in ids]):
        for _, record in otlp_lines.spans(request):
            if record.get("traceId") not in ids or record["spanId"] in spans:
                continue  # a batch may arrive twice
            if len(spans) == LIMIT:
                left_out += 1
                continue
            spans[record["spanId"]] = _span(record)
    return Trace(_roots(spans), len(spans), left_out)


def _span(record: Mapping[str, Any]) -> Span:
    found = otlp_lines.attributes(record)
    subjects = [str(found[key]) for key in _SUBJECTS if found.get(key) not in (None, "")]
    return Span(
        str(record["traceId"]),
        str(record["spanId"]),
        str(record.get("parentSpanId") or ""),
        str(record.get("name") or ""),
        " ".join(dict.fromkeys(subjects)),  # the step of an asset has its name
        int(record.get("startTimeUnixNano") or 0),
        int(record.get("endTimeUnixNano") or 0),
        _error(record.get("status") or {}, found),
    )


def _error(status: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if status.get("code") not in _ERROR:
        return ""
    texts = (found.get(keys.ERROR_TYPE), status.get("message") or found.get(keys.ASSAY_ERROR_MESSAGE))
    return ": ".join(str(text) for text in texts if text) or "error"


def _roots(spans: Mapping[str, Span]) -> list[Span]:
    """Put each span below its parent, and return those without one."""
    ordered = sorted(spans.values(), key=attrgetter("started", "id"))
    roots: list[Span] = []
    for span in ordered:
        parent = spans.get(span.parent)
        (roots if parent is None else parent.children).append(span)
    reached = _below(roots)
    for span in ordered:
        # Spans that are parents of one another are below no root: the first of them becomes one.
        if span.id not in reached:
            spans[span.parent].children.remove(span)
            roots.append(span)
            reached |= _below([span])
    return roots


def _below(roots: list[Span]) -> set[str]:
    """Return the ids of spans and of all spans below them."""
    reached: set[str] = set()
    waiting = list(roots)
    while waiting:
        span = waiting.pop()
        reached.add(span.id)
        waiting += span.children
    return reached
