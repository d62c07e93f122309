"""Bus events as a handler gets them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from types import TracebackType
from typing import Any

from assay.telemetry import attach, detach

_ids = count(1)


@dataclass(frozen=True)
class BusEvent:
    """One event.

    Args:
        name: Its name.
        measurements: Its numbers.
        metadata: Its metadata, after the filters.
    """

    name: str
    measurements: dict[str, Any]
    metadata: dict[str, Any]


class BusEvents(list[BusEvent]):
    """The events emitted while it is attached; a context manager.

    Args:
        pattern: Which events, such as `flowstone.*`.
    """

    def __init__(self, pattern: str = "*") -> None:
        super().__init__()
        self._pattern = pattern
        self._id = f"assay.testing.{next(_ids)}"

    def __enter__(self) -> BusEvents:  # noqa: PYI034 - typing.Self is not in 3.10
        """Attach it to the bus."""
        attach(self._id, self._pattern, self._add)
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Detach it."""
        detach(self._id)

    @property
    def names(self) -> list[str]:
        """The events' names, in their order."""
        return [event.name for event in self]

    def metadata(self, name: str) -> list[dict[str, Any]]:
        """Return the metadata of the events of a name."""
        return [event.metadata for event in self if event.name == name]

    def measurements(self, name: str) -> list[dict[str, Any]]:
        """Return the measurements of the events of a name."""
        return [event.measurements for event in self if event.name == name]

    def _add(
        self, event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
    ) -> None:
        self.append(BusEvent(event, dict(measurements), dict(metadata)))
