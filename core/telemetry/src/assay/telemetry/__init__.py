"""An event bus for Python programs, and its bridge to OpenTelemetry.

Tell what happens:

```python
from assay.telemetry import execute, span

execute("shop.cart.emptied", {"items": 3}, {"customer": "c-17"})

with span("shop.checkout", customer="c-17") as checkout:
    checkout.measurements["total"] = 42.5


@span("shop.parcel")
def pack(order): ...
```

Listen to it:

```python
from assay.telemetry import attach

attach("printer", "shop.*", lambda event, measurements, metadata, config: print(event, measurements))
```
"""

from assay.telemetry.bus import HandlerInfo, attach, attach_many, detach, execute, list_handlers
from assay.telemetry.correlation import carry, correlation
from assay.telemetry.errors import HandlerExistsError, PatternError, TelemetryError
from assay.telemetry.filters import compile_filter
from assay.telemetry.redaction import redact
from assay.telemetry.sampling import set_limit, set_rate
from assay.telemetry.spans import Span, span

__all__ = [
    "HandlerExistsError",
    "HandlerInfo",
    "PatternError",
    "Span",
    "TelemetryError",
    "attach",
    "attach_many",
    "carry",
    "compile_filter",
    "correlation",
    "detach",
    "execute",
    "list_handlers",
    "redact",
    "set_limit",
    "set_rate",
    "span",
]
