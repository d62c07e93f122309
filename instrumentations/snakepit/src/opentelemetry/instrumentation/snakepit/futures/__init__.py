"""Instrument `concurrent.futures`: pools of threads and of processes.

```python
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.futures import FuturesInstrumentor

SnakepitInstrumentor().instrument()


def name_the_owner(span, function, args):
    span.set_attribute("shop.owner", "omar")


FuturesInstrumentor().instrument(request_hook=name_the_owner)
```

The behaviour of executors and futures does not change: results, exceptions and the order of callbacks stay
the same, and an error in the instrumentation does not reach the program.
"""

from opentelemetry.instrumentation.snakepit.futures._instrumentor import FuturesInstrumentor

__all__ = ["FuturesInstrumentor"]
