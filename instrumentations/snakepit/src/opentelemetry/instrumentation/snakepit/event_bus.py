"""The seed's event bus, by its names, on top of `assay.telemetry`.

```python
bus = EventBus()
bus.register_consumer(["snakepit", "request", "*"], lambda event, measurements, metadata: print(event))
bus.set_sampling_rate(["snakepit", "heartbeat", "*"], 0.1)
bus.emit(["snakepit", "worker", "tainted"], {}, {"pool_name": "default", "worker_id": "default-3"})
```
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, TypeAlias

from opentelemetry.instrumentation.snakepit.errors import ConfigurationError

from assay.telemetry import PatternError, TelemetryError, attach, execute, set_rate

Name: TypeAlias = str | Sequence[str]
"""An event's name, or a pattern: dotted, or a list of its parts."""
Consumer: TypeAlias = Callable[[str, Mapping[str, Any], Mapping[str, Any]], object]
"""Takes the dotted name, the measurements and the metadata."""

_consumers = count(1)


class EventBus:
    """Emits events, and passes them to consumers.

    An event without a correlation id gets one, and metadata is redacted, before a consumer sees it. A
    consumer that fails never reaches the code that emits; a breaker suspends it if it keeps failing.
    """

    def emit(
        self,
        event_name: Name,
        measurements: Mapping[str, Any] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Emit an event. It raises nothing.

        Args:
            event_name: Name of the event.
            measurements: Its numbers.
            metadata: Its metadata.
        """
        execute(_dotted(event_name), measurements, metadata)

    def register_consumer(self, event_pattern: Name, consumer: Consumer) -> str:
        """Pass the events that match to a consumer; return the id for `assay.telemetry.detach`.

        Args:
            event_pattern: An event's name, or a pattern whose last part is `*`.
            consumer: Takes each event.

        Raises:
            ConfigurationError: It is neither a name nor a pattern.
        """
        consumer_id = f"snakepit.consumer.{next(_consumers)}"

        def handle(
            event: str, measurements: Mapping[str, Any], metadata: Mapping[str, Any], _config: object
        ) -> None:
            consumer(event, measurements, metadata)

        try:
            attach(consumer_id, _dotted(event_pattern), handle)
        except PatternError as error:
            raise ConfigurationError(str(error)) from error
        return consumer_id

    def set_sampling_rate(self, event_name: Name, rate: float) -> None:
        """Keep a share of the events of a name or pattern. Errors and audit events are always kept.

        Args:
            event_name: The name or pattern.
            rate: The share, above 0 and at most 1.

        Raises:
            ConfigurationError: The rate or the pattern is not valid.
        """
        try:
            set_rate(_dotted(event_name), rate)
        except TelemetryError as error:
            raise ConfigurationError(str(error)) from error


def _dotted(name: Name) -> str:
    return name if isinstance(name, str) else ".".join(name)
