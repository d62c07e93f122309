"""An event bus for Python programs, and its bridge to OpenTelemetry.

Emit events:

```python
from assay.telemetry import execute, span

execute("shop.cart.emptied", {"items": 3}, {"customer": "c-17"})

with span("shop.checkout", customer="c-17") as checkout:
    checkout.measurements["total"] = 42.5


@span("shop.parcel")
def pack(order): ...
```

Attach a handler:

```python
from assay.telemetry import attach

attach("printer", "shop.*", lambda event, measurements, metadata, config: print(event, measurements))
```

`assay.telemetry.bridge` emits OpenTelemetry signals for the events of a registry.
"""

from assay.telemetry._acceptance import audit_required, fail_closed
from assay.telemetry.bus import HandlerInfo, attach, attach_many, detach, execute, list_handlers
from assay.telemetry.correlation import carry, correlation
from assay.telemetry.errors import AuditNotAcceptedError, HandlerExistsError, PatternError, TelemetryError
from assay.telemetry.redaction import redact
from assay.telemetry.sampling import set_limit, set_rate
from assay.telemetry.spans import Phases, Span, span

__all__ = [
    "AuditNotAcceptedError",
    "HandlerExistsError",
    "HandlerInfo",
    "PatternError",
    "Phases",
    "Span",
    "TelemetryError",
    "attach",
    "attach_many",
    "audit_required",
    "carry",
    "correlation",
    "detach",
    "execute",
    "fail_closed",
    "list_handlers",
    "redact",
    "set_limit",
    "set_rate",
    "span",
]
