"""The filters before the handlers: sampling and limits, then the correlation id, then redaction.

A filter is compiled once for each event. Importing this module installs the filters in the bus.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from assay.telemetry import bus
from assay.telemetry.correlation import current
from assay.telemetry.redaction import PLAIN_TYPES, clean_texts, is_clean, plain_keys, redact_metadata
from assay.telemetry.sampling import WEIGHT, Decide, compile_decision

_PHASES = frozenset({"start", "stop", "exception"})
_exempt: frozenset[str] = frozenset()
_spans: Mapping[str, str] = {}
_starts: frozenset[str] = frozenset()


def describe(exempt: Iterable[str], spans: Mapping[str, str], starts: Iterable[str] = ()) -> None:
    """Set what the attached bridges' catalogues say of events.

    Args:
        exempt: Events that are neither sampled nor limited.
        spans: The span of which an event is a phase, by event.
        starts: The events that start these spans.
    """
    global _exempt, _spans, _starts
    _exempt, _spans, _starts = frozenset(exempt), dict(spans), frozenset(starts)
    bus.refresh()


def compile_filter(event: str) -> bus.Filter:
    """Return the filter of an event."""
    stem, _, phase = event.rpartition(".")
    if event in _exempt or phase == "exception" or event == bus.FAILURE_EVENT:
        return filter_exempt
    span = _spans.get(event) or (stem if phase in _PHASES else None)
    is_start = event in _starts or (event not in _spans and phase == "start")
    decide = compile_decision(event, span, is_start=is_start)
    return filter_undecided if decide is None else _sampled(decide)


def filter_undecided(metadata: dict[str, Any]) -> Mapping[str, Any]:
    """Add the correlation id and redact; the decision whether to keep the event was made elsewhere."""
    if metadata.get("correlation_id") is None:
        metadata["correlation_id"] = current()
    if plain_keys.issuperset(metadata):
        # The common case, inline because a call would cost more: numbers and texts without secrets.
        try:
            for value in metadata.values():
                if value in clean_texts or value.__class__ in PLAIN_TYPES:
                    continue
                if not is_clean(value):
                    break
            else:
                return metadata
        except TypeError:  # a value that cannot be hashed, such as a list
            pass
    return redact_metadata(metadata)


def filter_exempt(metadata: dict[str, Any]) -> Mapping[str, Any]:
    """Do the same for an exempt event, whose weight is always 1."""
    metadata.pop(WEIGHT, None)
    return filter_undecided(metadata)


def _sampled(decide: Decide) -> bus.Filter:
    def filter_sampled(metadata: dict[str, Any]) -> Mapping[str, Any] | None:
        weight = decide(metadata)
        if not weight:
            return None
        if weight != 1 or WEIGHT in metadata:
            metadata[WEIGHT] = weight
        return filter_undecided(metadata)

    return filter_sampled


bus.set_filter(compile_filter)
