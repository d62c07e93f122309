from __future__ import annotations

import asyncio
import importlib
import logging
import sys

import wrapt

from assay.instrumentation import Patches, Target
from assay.instrumentation import patches as patches_module

ADD = Target("cart", "Basket.add")


def counting(calls, name="ours"):
    def around(call):
        calls.append(name)
        return call()

    return around


def test_every_kind_of_function_is_wrapped_and_restored(cart):
    targets = [
        ADD,
        Target("cart", "Basket.filled"),
        Target("cart", "Basket.price"),
        Target("cart", "parcels"),
    ]
    before = {target: vars(_owner(cart, target))[target.path.split(".")[-1]] for target in targets}
    calls = []
    patches = Patches()
    for target in targets:
        patches.wrap(target, counting(calls, target.path))

    assert cart.Basket().add("tea", 2) == 2
    assert isinstance(cart.GiftBasket.filled("tea"), cart.GiftBasket)
    assert cart.Basket.price("tea") == 3
    assert list(cart.parcels(["tea"])) == ["parcel of tea"]
    assert calls == ["Basket.add", "Basket.filled", "Basket.price", "parcels"]

    patches.restore()
    assert {t: vars(_owner(cart, t))[t.path.split(".")[-1]] for t in targets} == before
    assert cart.Basket().add("tea") == 1
    assert len(calls) == 4


def _owner(cart, target):
    return cart.Basket if target.path.startswith("Basket") else cart


def test_a_coroutine_function_is_wrapped_by_one(cart):
    calls = []

    async def around(call):
        calls.append(call.argument("item"))
        return await call()

    patches = Patches()
    patches.wrap(Target("cart", "Basket.reserve"), around)
    try:
        assert asyncio.run(cart.Basket.filled("tea").reserve("tea")) == "reserved tea"
    finally:
        patches.restore()
    assert calls == ["tea"]


def test_an_inherited_method_is_patched_where_it_is_defined(cart):
    calls = []
    patches = Patches()
    patches.wrap(Target("cart", "GiftBasket.add"), counting(calls))
    cart.GiftBasket().add("tea")
    patches.restore()

    assert len(calls) == 1
    assert "add" not in vars(cart.GiftBasket)


def test_a_module_is_patched_when_the_program_imports_it():
    sys.modules.pop("cart", None)
    calls = []
    patches = Patches()
    patches.wrap(ADD, counting(calls))
    assert "cart" not in sys.modules
    cart = importlib.import_module("cart")
    cart.Basket().add("tea")
    patches.restore()

    assert calls == ["ours"]


def test_patches_restored_before_the_import_are_not_applied():
    sys.modules.pop("cart", None)
    calls = []
    for _ in range(3):
        patches = Patches()
        patches.wrap(ADD, counting(calls))
        patches.restore()
    hooks = wrapt.importer._post_import_hooks.get("cart", [])
    assert len(hooks) <= 1
    assert patches_module._pending.get("cart", []) == []
    cart = importlib.import_module("cart")
    cart.Basket().add("tea")

    assert not calls
    assert not hasattr(vars(cart.Basket)["add"], "__wrapped__")


def test_a_missing_target_is_logged_once_and_the_others_are_patched(cart, caplog):
    calls = []
    for _ in range(2):
        patches = Patches()
        patches.wrap(Target("cart", "Basket.gone"), counting(calls))
        patches.wrap(Target("cart", "Gone.add"), counting(calls))
        patches.wrap(ADD, counting(calls))
        cart.Basket().add("tea")
        patches.restore()

    assert len(calls) == 2
    warnings = [record.message for record in caplog.records if record.levelno >= logging.WARNING]
    assert [message.split(",")[0] for message in warnings] == [
        "cart has no Basket.gone",
        "cart has no Gone.add",
    ]


def test_a_missing_optional_target_is_not_logged(cart, caplog):
    patches = Patches()
    patches.wrap(Target("cart", "Basket.gone", is_optional=True), counting([]))
    patches.restore()

    assert caplog.records == []


def test_two_instrumentations_of_one_function_are_removed_in_either_order(cart):
    original = vars(cart.Basket)["add"]
    for order in (0, 1):
        calls = []
        both = [Patches(), Patches()]
        both[0].wrap(ADD, counting(calls, "inner"))
        both[1].wrap(ADD, counting(calls, "outer"))
        cart.Basket().add("tea")
        assert calls == ["outer", "inner"]

        both[order].restore()
        calls.clear()
        cart.Basket().add("tea")
        assert calls == ["outer" if order == 0 else "inner"]

        both[1 - order].restore()
        assert vars(cart.Basket)["add"] is original


def test_a_wrapper_of_others_stays_and_ours_in_it_is_off(cart):
    calls = []
    patches = Patches()
    patches.wrap(ADD, counting(calls))
    wrapt.wrap_function_wrapper(
        "cart", "Basket.add", lambda wrapped, _i, args, kwargs: (calls.append("theirs"), wrapped(*args))[1]
    )
    patches.restore()

    assert cart.Basket().add("tea") == 1
    assert calls == ["theirs"]


def test_the_same_patch_is_applied_once(cart):
    calls = []
    around = counting(calls)
    patches = Patches()
    patches.wrap(ADD, around)
    patches.wrap(ADD, around)
    cart.Basket().add("tea")
    patches.restore()
    patches.restore()

    assert len(calls) == 1


def test_a_replacement_is_undone(cart):
    original = cart.parcels
    patches = Patches()
    patches.replace(Target("cart", "parcels"), lambda parcels: (parcels, "replaced"))
    assert cart.parcels == (original, "replaced")
    patches.restore()

    assert cart.parcels is original


def test_an_import_goes_on_when_a_patch_fails(caplog):
    sys.modules.pop("cart", None)
    patches = Patches()

    def fails(_original):
        raise RuntimeError("cannot make it")

    patches.replace(Target("cart", "parcels"), fails)
    cart = importlib.import_module("cart")
    patches.restore()

    assert list(cart.parcels([])) == []
    assert "cannot make it" in caplog.text
