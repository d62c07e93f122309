"""The Kubernetes clients: writes to the API server as applies.

```python
from opentelemetry.instrumentation.alumiini.kubernetes import (
    KubernetesAsyncioInstrumentor,
    KubernetesInstrumentor,
)

KubernetesInstrumentor().instrument()
KubernetesAsyncioInstrumentor().instrument()
```

`kubernetes` (28.1 and later; also its dynamic client and `kubernetes.aio`) and `kubernetes_asyncio` (28.2 and
later). Create, patch, replace, server-side apply and delete are applies; reads are not.
"""

from opentelemetry.instrumentation.alumiini.kubernetes._instrumentors import (
    KubernetesAsyncioInstrumentor,
    KubernetesInstrumentor,
)

__all__ = ["KubernetesAsyncioInstrumentor", "KubernetesInstrumentor"]
