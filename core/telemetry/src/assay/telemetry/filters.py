"""What stands before the handlers: sampling and limits, then the correlation id, then redaction.

Compiled once for each event. Importing the package puts them before the bus's handlers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assay.telemetry import bus
from assay.telemetry.correlation import current
from assay.telemetry.instruments import WEIGHT
from assay.telemetry.redaction import PLAIN_TYPES, clean_texts, plain_keys, redact_metadata
from assay.telemetry.sampling import Decide, compile_decision

_PHASES = frozenset({"start", "stop", "exception"})
_exempt: frozenset[str] = frozenset()
_spans: Mapping[str, str] = {}


def describe(exempt: frozenset[str], spans: Mapping[str, str]) -> None:
    """Say what the catalogue knows of events.

    Args:
        exempt: Those that are neither sampled nor limited.
        spans: By event: the span of which it is a phase.
    """
    global _exempt, _spans
    _exempt, _spans = exempt, spans
    bus.refresh()


def compile_filter(event: str) -> bus.Filter:
    """Return the filter of an event."""
    stem, _, phase = event.rpartition(".")
    if event in _exempt or phase == "exception" or event == bus.FAILURE_EVENT:
        return _passing
    decide = compile_decision(event, _spans.get(event) or (stem if phase in _PHASES else None))
    return _described if decide is None else _sampled(decide)


def _described(metadata: dict[str, Any]) -> Mapping[str, Any]:
    if metadata.get("correlation_id") is None:
        metadata["correlation_id"] = current()
    if plain_keys.issuperset(metadata):
        # The usual case, told here because it costs no call: nothing but known texts and numbers.
        try:
            for value in metadata.values():
                if value not in clean_texts and value.__class__ not in PLAIN_TYPES:
                    break
            else:
                return metadata
        except TypeError:  # a value that cannot be hashed, such as a list
            pass
    return redact_metadata(metadata)


def _passing(metadata: dict[str, Any]) -> Mapping[str, Any]:
    """What always passes stands for itself alone, whatever its span's start stood for."""
    metadata.pop(WEIGHT, None)
    return _described(metadata)


def _sampled(decide: Decide) -> bus.Filter:
    def screen(metadata: dict[str, Any]) -> Mapping[str, Any] | None:
        weight = decide(metadata)
        if not weight:
            return None
        if weight != 1 or WEIGHT in metadata:
            metadata[WEIGHT] = weight
        return _described(metadata)

    return screen


bus.set_filter(compile_filter)
