"""Instrument `multiprocessing.Pool` and `multiprocessing.pool.ThreadPool`.

```python
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.multiprocessing_pool import MultiprocessingPoolInstrumentor

SnakepitInstrumentor().instrument()
MultiprocessingPoolInstrumentor().instrument()
```

A request is a call of `apply` or a chunk of `map`, `imap` and their relatives. A chunk is submitted when the
pool takes it from the iterable.
"""

from opentelemetry.instrumentation.snakepit.multiprocessing_pool._instrumentor import (
    MultiprocessingPoolInstrumentor,
)

__all__ = ["MultiprocessingPoolInstrumentor"]
