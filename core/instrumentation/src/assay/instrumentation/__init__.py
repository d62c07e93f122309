"""A kit for instrumentations that make a library emit bus events.

An instrumentation on top of it holds vocabulary and wiring:

```python
from assay.instrumentation import (
    BusInstrumentor,
    Call,
    Hooks,
    LibraryInstrumentor,
    Operation,
    Patches,
    Subsystem,
    Target,
)
from assay.telemetry import span

SHOP = Subsystem("shop", package="opentelemetry.instrumentation.shop")


class ShopInstrumentor(BusInstrumentor):
    subsystem = SHOP


class CartInstrumentor(LibraryInstrumentor):
    subsystem = SHOP
    dependencies = ("cart >= 2.0",)

    def patch(self, patches: Patches, hooks: Hooks) -> None:
        patches.wrap(Target("cart.api", "Cart.add"), add)


def add(call: Call) -> object:
    with Operation(span("shop.cart.add", item=call.argument("item"))):
        return call()
```

docs/how-to/write-an-instrumentation.md builds a whole one. `assay.instrumentation.testing` is for its tests.
"""

from assay.instrumentation.carried import CarriedContext, carry_context, join_carried
from assay.instrumentation.children import ChildSetup, ChildTarget, flush, join_parent, prepare_child
from assay.instrumentation.foreign import Foreign
from assay.instrumentation.generators import Followed, follow, follow_async
from assay.instrumentation.guard import guarded
from assay.instrumentation.hooks import Hook, HookPoint, Hooks
from assay.instrumentation.instrumentors import BusInstrumentor, LibraryInstrumentor
from assay.instrumentation.operations import Operation
from assay.instrumentation.patches import MissingTargetError, Patches, Target
from assay.instrumentation.relay import RelayBatch, RelayedEvent, RelayReceiver, RelaySender
from assay.instrumentation.subsystems import Subsystem
from assay.instrumentation.wrappers import AsyncCall, Call, wrapper

__all__ = [
    "AsyncCall",
    "BusInstrumentor",
    "Call",
    "CarriedContext",
    "ChildSetup",
    "ChildTarget",
    "Followed",
    "Foreign",
    "Hook",
    "HookPoint",
    "Hooks",
    "LibraryInstrumentor",
    "MissingTargetError",
    "Operation",
    "Patches",
    "RelayBatch",
    "RelayReceiver",
    "RelaySender",
    "RelayedEvent",
    "Subsystem",
    "Target",
    "carry_context",
    "flush",
    "follow",
    "follow_async",
    "guarded",
    "join_carried",
    "join_parent",
    "prepare_child",
    "wrapper",
]
