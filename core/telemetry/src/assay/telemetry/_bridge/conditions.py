"""Conditions of the registry: the values that bus keys must have for an event to cause a signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Scalar
from assay.telemetry._bridge.codegen import Source
from assay.telemetry._bridge.values import text

Condition: TypeAlias = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
"""Takes an event's measurements and its metadata."""


def condition(when: Mapping[str, Scalar | None]) -> Condition:
    """Return a function that checks an event against a registry's `when`; None: the event lacks the key."""

    def holds(measurements: Mapping[str, Any], metadata: Mapping[str, Any]) -> bool:
        for name, wanted in when.items():
            value = metadata.get(name, measurements.get(name))
            if value != wanted and (value is None or wanted is None or text(value) != text(wanted)):
                return False
        return True

    return holds


def condition_head(source: Source, when: Mapping[str, Scalar | None]) -> str:
    """Return the head of a block that runs only if the condition holds."""
    source.use("measurements", "metadata")
    return f"if {source.bind('holds', condition(when))}(measurements, metadata)"
