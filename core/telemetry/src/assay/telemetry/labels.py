"""From a bus event to the labels of an instrument."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute, Metric, Recording
from assay.telemetry.values import converter, text

Labels: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]
Find: TypeAlias = Callable[[Key, Mapping[str, Any]], Labels]
"""Takes the values of the labels in the metadata, and the measurements."""

UNKNOWN = "unknown"
"""The label of an event that lacks one."""
MEMORY = 1024
"""How many sets of labels are remembered; a registry's labels have few values each."""


class LabelSet:
    """The labels of one way into an instrument.

    Attributes:
        names: Where the metadata has their values.
        known: Labels by their values in the metadata, where these alone decide: texts, and None. (Of other
            types two may be one key: 1 and True.)
        rows: What two that are equal have in common.
    """

    def __init__(self, metric: Metric, recording: Recording) -> None:
        self.rows = tuple((label, _default(label, recording)) for label in metric.labels)
        self.names = tuple(label.source or label.name for label in metric.labels)
        self.known: dict[Key, Labels] = {}
        self._converters = tuple(
            text if label.type in {"string", "boolean"} else converter(label) for label in metric.labels
        )

    def find(self, values: Key, measurements: Mapping[str, Any]) -> Labels:
        """Return the labels of an event, and remember them if they can be known.

        Args:
            values: What the event's metadata has under `names`.
            measurements: The event's.
        """
        found: Labels = {}
        can_be_known = True
        for (label, default), name, convert, given in zip(
            self.rows, self.names, self._converters, values, strict=True
        ):
            value = given
            if given is None and label.measurement:
                value = measurements.get(name)
                can_be_known = False
            elif given is not None and given.__class__ is not str:
                can_be_known = False
            found[label.name] = default if value is None else convert(value)
        if can_be_known:
            if len(self.known) >= MEMORY:
                self.known.clear()
            self.known[values] = found
        return found


def _default(label: Attribute, recording: Recording) -> Any:  # noqa: ANN401 - a label's value
    value = recording.defaults.get(label.name, label.constant)
    if value is None:
        return UNKNOWN
    return text(value) if isinstance(value, bool) else value
