"""kopf (1.37 and later): handlers as syncs; daemons, timers and peering as workers.

```python
from opentelemetry.instrumentation.alumiini.kopf import KopfInstrumentor

KopfInstrumentor().instrument()
```

An object whose spec names a git repository is a repository that the operator syncs.
"""

from opentelemetry.instrumentation.alumiini.kopf._instrumentor import KopfInstrumentor

__all__ = ["KopfInstrumentor"]
