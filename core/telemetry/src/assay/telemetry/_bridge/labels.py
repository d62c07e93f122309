"""Convert a bus event to the labels of its instruments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from assay.semconv.catalogue import Attribute, Metric, Recording
from assay.telemetry._bridge.values import converter, text

Labels: TypeAlias = dict[str, Any]
Key: TypeAlias = tuple[Any, ...]

UNKNOWN = "unknown"
"""Value of a label that the event lacks."""


class LabelSet:
    """The labels of one recording.

    Attributes:
        names: Metadata keys of the labels' values.
        key: Equal for recordings whose labels are equal for every event.
    """

    def __init__(self, metric: Metric, recording: Recording) -> None:
        self.key = tuple((label, _default(label, recording)) for label in metric.labels)
        self.names = tuple(label.source or label.name for label in metric.labels)
        self._converters = tuple(
            text if label.type in {"string", "boolean"} else converter(label) for label in metric.labels
        )

    def convert(self, values: Key, measurements: Mapping[str, Any]) -> tuple[Labels, bool]:
        """Return the labels of an event, and whether `values` alone determine them.

        They do where each value is a string or None: of other types two values may be equal and yet different
        labels, such as 1 and True.

        Args:
            values: The event's metadata under `names`.
            measurements: The event's measurements.
        """
        labels: Labels = {}
        determined = True
        for (label, default), name, convert, given in zip(
            self.key, self.names, self._converters, values, strict=True
        ):
            value = given
            if given is None and label.measurement:
                value = measurements.get(name)
                determined = False
            elif given is not None and given.__class__ is not str:
                determined = False
            if value is not None:
                labels[label.name] = convert(value)
            elif default is not None:
                labels[label.name] = default
        return labels, determined


def _default(label: Attribute, recording: Recording) -> Any:  # noqa: ANN401 - a label's value
    """Return the value of a label that the event lacks, None to leave the label out."""
    value = recording.defaults.get(label.name, label.constant)
    if value is None:
        return None if label.optional else UNKNOWN
    return text(value) if isinstance(value, bool) else value
