"""Instrument `snakepit_bridge`, the Python side of Snakepit, a pool of workers behind an Elixir application.

```python
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.snakepit_bridge import BridgeInstrumentor

SnakepitInstrumentor().instrument()
BridgeInstrumentor().instrument()
```

The telemetry of `snakepit_bridge` still goes to the backend that it has set, and also to the bus. A program
that is not instrumented can set the backend itself:
`snakepit_bridge.telemetry.set_backend(BusBackend(snakepit_bridge.telemetry.get_backend()))`.
"""

from opentelemetry.instrumentation.snakepit.snakepit_bridge._backend import BusBackend
from opentelemetry.instrumentation.snakepit.snakepit_bridge._instrumentor import BridgeInstrumentor

__all__ = ["BridgeInstrumentor", "BusBackend"]
