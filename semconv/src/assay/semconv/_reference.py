"""Prepares the reference pages: one for each namespace, and an index."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from assay.semconv._definitions import Definitions
from assay.semconv._document import Node
from assay.semconv._grammar import assay_annotations
from assay.semconv._redaction import GROUP as REDACTION
from assay.semconv.catalogue import Attribute, Catalogue, Event, Metric, Span


@dataclass(frozen=True, slots=True)
class Page:
    """The content of one page.

    Args:
        title: Its title.
        template: Name of its template.
        about: Brief and annotations of the namespace's attribute group.
        spans, events, metrics, attributes: Brief and entry, in the registry's order.
        pages: On the index: the other pages, by name.
    """

    title: str
    template: str
    about: dict[str, Any] = field(default_factory=dict[str, Any])
    spans: list[tuple[str, Span]] = field(default_factory=list[tuple[str, Span]])
    events: list[tuple[str, Event]] = field(default_factory=list[tuple[str, Event]])
    metrics: list[tuple[str, Metric]] = field(default_factory=list[tuple[str, Metric]])
    attributes: list[tuple[str, Attribute]] = field(default_factory=list[tuple[str, Attribute]])
    pages: dict[str, Page] = field(default_factory=dict[str, "Page"])


_TITLES = {
    "flowstone": "FlowStone",
    "alumiini": "ALUMIINI",
    "ingot": "Ingot",
    "forge": "Forge",
    "anvil": "Anvil",
    "snakepit": "Snakepit",
    "cicd": "OpenTelemetry's metrics of pipeline runs",
    "db": "OpenTelemetry's metrics of database calls",
    "rpc": "OpenTelemetry's metrics of RPCs",
    "assay": "Assay",
    "audit": "Audit records",
}


def pages(found: Definitions, catalogue: Catalogue) -> dict[str, Page]:
    """Return the pages, by file name without suffix.

    Args:
        found: The registry's definitions.
        catalogue: Their catalogue.
    """
    spaces = dict.fromkeys(key.partition(".")[0] for section in found.sections.values() for key in section)
    spaces.pop(REDACTION, None)  # the rules have a page of their own
    made = {space: _page(space, found, catalogue) for space in sorted(spaces)}
    return {"index": Page("Reference of the semantic conventions", "index", pages=made), **made}


def _page(space: str, found: Definitions, catalogue: Catalogue) -> Page:
    def own(section: str) -> list[tuple[str, str]]:
        chosen = found.sections[section].items()
        return [(_brief(node), key) for key, node in chosen if key.partition(".")[0] == space]

    group = found.sections["attribute_groups"].get(space)
    return Page(
        title=_TITLES.get(space, space),
        template="subsystem",
        about=_about(group) if group else {},
        spans=[(brief, catalogue.spans[key]) for brief, key in own("spans")],
        events=[(brief, catalogue.events[key]) for brief, key in own("events")],
        metrics=[(brief, catalogue.metrics[key]) for brief, key in own("metrics")],
        attributes=[(brief, catalogue.attributes[key]) for brief, key in own("attributes")],
    )


def _about(group: Node) -> dict[str, Any]:
    return {"brief": _brief(group), **assay_annotations(group).plain()}


def _brief(node: Node) -> str:
    return " ".join(node["brief"].value.split())
