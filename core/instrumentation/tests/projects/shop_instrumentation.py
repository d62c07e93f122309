"""The instrumentation of `cart`, as a user of the kit writes it."""

from pathlib import Path

from assay.instrumentation import (
    BusInstrumentor,
    HookPoint,
    LibraryInstrumentor,
    Operation,
    Subsystem,
    Target,
)
from assay.telemetry import span

FOLDER = Path(__file__).parent
SHOP = Subsystem("shop", package="shop_instrumentation", registry=FOLDER / "shop.yaml")
DEPOT = Subsystem("depot", package="depot_instrumentation", registry=FOLDER / "depot.yaml")


class ShopInstrumentor(BusInstrumentor):
    subsystem = SHOP


class DepotInstrumentor(BusInstrumentor):
    subsystem = DEPOT


class CartInstrumentor(LibraryInstrumentor):
    subsystem = SHOP
    hook_points = (
        HookPoint("request_hook", "SHOP_CART_REQUEST_HOOK"),
        HookPoint("response_hook", "SHOP_CART_RESPONSE_HOOK"),
    )

    def patch(self, patches, hooks):
        def add(call):
            operation = Operation(
                span("shop.basket.add", item=call.argument("item")),
                call.instance,
                request_hook=hooks["request_hook"],
                response_hook=hooks["response_hook"],
            )
            with operation:
                operation.result = call()
            return operation.result

        patches.wrap(Target("cart", "Basket.add"), add)


class SecondInstrumentor(LibraryInstrumentor):
    """Another adapter of the same subsystem."""

    subsystem = SHOP

    def patch(self, patches, hooks):
        pass


def name_the_owner(span, basket):
    span.set_attribute("shop.owner", "omar")


NOT_A_FUNCTION = 3


class UnsupportedInstrumentor(LibraryInstrumentor):
    """An adapter whose library is installed in a version that it does not support."""

    subsystem = SHOP
    dependencies = ("wrapt < 1.0",)

    def patch(self, patches, hooks):
        raise AssertionError("patched")
