"""Instrument loky, and the copy of it in joblib, which runs `joblib.Parallel`.

```python
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.loky import LokyInstrumentor

SnakepitInstrumentor().instrument()
LokyInstrumentor().instrument()
```

A request is a task of an executor, or a batch of `joblib.Parallel`.
"""

from opentelemetry.instrumentation.snakepit.loky._instrumentor import LokyInstrumentor

__all__ = ["LokyInstrumentor"]
