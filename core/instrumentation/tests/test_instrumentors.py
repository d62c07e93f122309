from __future__ import annotations

from dataclasses import replace

import pytest

from assay.instrumentation import LibraryInstrumentor, Target
from assay.semconv.catalogue import Catalogue
from assay.telemetry import bridge, span
from assay.telemetry.bridge import Bridge


def _emit():
    with span("shop.basket.add", item="tea"), span("depot.shelf.fill", item="tea"):
        pass


def _names(sdk):
    return sorted(found.name for found in sdk.spans())


def test_subsystems_side_by_side_each_with_providers_of_its_own(shop, sdk, other_sdk):
    shop.ShopInstrumentor().instrument(**sdk.providers)
    shop.DepotInstrumentor().instrument(**other_sdk.providers)
    _emit()
    assert (_names(sdk), _names(other_sdk)) == (["shop.basket.add"], ["depot.shelf.fill"])
    assert sdk.totals("shop.added", "item") == {"tea": 1}
    assert other_sdk.totals("depot.added", "item") == {"tea": 1}

    shop.ShopInstrumentor().uninstrument()
    _emit()
    assert (len(_names(sdk)), len(_names(other_sdk))) == (1, 2)


def test_the_scope_is_the_instrumenting_package(shop, sdk):
    shop.ShopInstrumentor().instrument(**sdk.providers)
    _emit()

    (found,) = sdk.spans("shop.basket.add")
    assert found.instrumentation_scope.name == "shop_instrumentation"


def test_an_adapter_alone_attaches_and_detaches_its_bridge(cart, shop, sdk):
    shop.CartInstrumentor().instrument(**sdk.providers)
    cart.Basket().add("tea")
    assert _names(sdk) == ["shop.basket.add"]

    shop.CartInstrumentor().uninstrument()
    assert bridge.attached() == ()
    cart.Basket().add("tea")
    _emit()
    assert _names(sdk) == ["shop.basket.add"]


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_last_instrumentor_detaches_the_bridge(shop, sdk, first):
    instrumentors = [shop.ShopInstrumentor(), shop.CartInstrumentor(), shop.SecondInstrumentor()]
    for instrumentor in instrumentors:
        instrumentor.instrument(**sdk.providers)
    assert len(bridge.attached()) == 1
    order = instrumentors[first:] + instrumentors[:first]
    for instrumentor in order:
        _emit()
        instrumentor.uninstrument()
    _emit()

    assert len(_names(sdk)) == 3
    assert bridge.attached() == ()


def test_other_providers_for_an_attached_bridge_are_a_warning(shop, sdk, other_sdk, caplog):
    shop.ShopInstrumentor().instrument(**sdk.providers)
    shop.SecondInstrumentor().instrument(**sdk.providers)
    assert not caplog.records
    shop.CartInstrumentor().instrument(**other_sdk.providers)
    _emit()

    assert "the providers given to instrument shop are not used" in caplog.text
    assert (_names(sdk), _names(other_sdk)) == (["shop.basket.add"], [])


@pytest.mark.parametrize("disabled", ["shop", "requests, shop", "*"])
def test_an_adapter_does_not_attach_a_disabled_bridge(  # noqa: PLR0913, PLR0917  fixtures
    shop, cart, sdk, monkeypatch, caplog, disabled
):
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", disabled)
    shop.CartInstrumentor().instrument(**sdk.providers)
    cart.Basket().add("tea")

    assert bridge.attached() == ()
    assert "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS disables shop" in caplog.text
    shop.CartInstrumentor().uninstrument()
    assert cart.Basket().add("tea") == 1


def test_other_disabled_instrumentations_do_not_concern_it(shop, sdk, monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "shopping,depot")
    shop.CartInstrumentor().instrument(**sdk.providers)

    assert len(bridge.attached()) == 1


def test_a_bridge_of_the_program_is_left_alone(shop, sdk, other_sdk, caplog):
    own = Bridge(
        shop.SHOP.catalogue(bridge.defaults().catalogue), scope=shop.SHOP.scope(), **other_sdk.providers
    )
    own.attach()
    try:
        shop.ShopInstrumentor().instrument(**sdk.providers)
        shop.ShopInstrumentor().uninstrument()
        assert bridge.attached() == (own,)
        assert "the program has attached a bridge" in caplog.text
    finally:
        own.detach()


class Unsupported(LibraryInstrumentor):
    dependencies = ("wrapt < 1.0",)

    def patch(self, patches, hooks):
        raise AssertionError("patched")


class Missing(LibraryInstrumentor):
    dependencies = ("no-such-library-of-assay >= 1.0",)

    def patch(self, patches, hooks):
        raise AssertionError("patched")


@pytest.mark.parametrize(
    "asked", [{}, {"skip_dep_check": True}, {"skip_dep_check": False, "raise_exception_on_conflict": True}]
)
def test_an_unsupported_version_is_one_warning_with_any_loader(caplog, asked):
    Unsupported().instrument(**asked)
    Unsupported().instrument(**asked)

    assert not Unsupported().is_instrumented_by_opentelemetry
    (record,) = [r for r in caplog.records if r.levelname in {"WARNING", "ERROR"}]
    assert record.levelname == "WARNING"
    assert "Unsupported supports wrapt < 1.0 and found wrapt " in record.message


class FailsHalfway(LibraryInstrumentor):
    def patch(self, patches, hooks):
        patches.wrap(Target("cart", "Basket.add"), lambda call: call())
        raise RuntimeError("halfway")


def test_an_adapter_that_fails_to_patch_leaves_nothing(shop, cart, sdk):
    FailsHalfway.subsystem = shop.SHOP
    original = vars(cart.Basket)["add"]
    with pytest.raises(RuntimeError, match="halfway"):
        FailsHalfway().instrument(**sdk.providers)

    assert vars(cart.Basket)["add"] is original
    assert bridge.attached() == ()


def test_a_missing_library_is_not_patched(caplog):
    Missing().instrument(skip_dep_check=True)

    assert not Missing().is_instrumented_by_opentelemetry
    assert not caplog.records


def test_a_second_instrument_or_uninstrument_changes_nothing(cart, shop, sdk):
    original = vars(cart.Basket)["add"]
    for _ in range(2):
        shop.CartInstrumentor().instrument(**sdk.providers)
    cart.Basket().add("tea")
    for _ in range(2):
        shop.CartInstrumentor().uninstrument()

    assert vars(cart.Basket)["add"] is original
    assert _names(sdk) == ["shop.basket.add"]


def test_the_registry_of_the_process_replaces_definitions_of_the_package(shop):
    own = shop.SHOP.catalogue(Catalogue())
    assert own.spans["shop.basket.add"].kind == "internal"
    given = replace(own.spans["shop.basket.add"], kind="client")
    other = replace(given, event="depot.shelf.fill")
    found = shop.SHOP.catalogue(Catalogue(spans={given.event: given, other.event: other}))

    assert found.spans == {"shop.basket.add": given}
    assert found.metrics == own.metrics
