from __future__ import annotations

import asyncio

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.utils import suppress_instrumentation

from assay.instrumentation import Call, Patches, Target, wrapper


@pytest.fixture
def patched(cart):
    """Return a function that wraps `Basket.add` for the time of the test."""
    patches = Patches()
    yield lambda around: patches.wrap(Target("cart", "Basket.add"), around)
    patches.restore()


def test_arguments_are_found_by_name(cart, patched):
    seen = []

    def around(call):
        seen.append([call.argument(name) for name in ("item", "quantity", "gift")])
        assert isinstance(call.instance, cart.Basket)
        return call()

    patched(around)
    basket = cart.Basket()
    basket.add("tea", 2)
    basket.add(item="tea", gift=True)
    basket.add(quantity=3, item="tea")

    assert seen == [["tea", 2, False], ["tea", 1, True], ["tea", 3, False]]


def test_an_argument_that_is_not_given_has_the_default():
    call = Call(len, None, ([],), {})

    assert call.argument("gone", default="none") == "none"
    assert call.argument("obj") == []


def test_arguments_are_replaced_by_name(cart, patched):
    def around(call):
        call.replace("item", call.argument("item").upper())
        call.replace("quantity", 7)
        return call()

    patched(around)
    basket = cart.Basket()
    basket.add("tea")
    basket.add("tea", 1)
    basket.add(item="tea", quantity=1)

    assert basket.items == {"TEA": 21}


def _suppress_by(key):
    return context.attach(context.set_value(key, value=True))


@pytest.mark.parametrize(
    "key", ["suppress_instrumentation", context._SUPPRESS_INSTRUMENTATION_KEY], ids=["plain", "private"]
)
def test_a_wrapper_is_not_called_while_suppressed(cart, patched, key):
    calls = []
    patched(lambda call: (calls.append(1), call())[1])
    token = _suppress_by(key)
    try:
        assert cart.Basket().add("tea") == 1
    finally:
        context.detach(token)
    with suppress_instrumentation():
        cart.Basket().add("tea")
    assert not calls
    cart.Basket().add("tea")
    assert len(calls) == 1


def test_only_the_calls_that_are_selected_are_wrapped(cart):
    wrapped = []

    def around(call):
        wrapped.append(call.argument("item"))
        return call()

    def is_tea(instance, args, kwargs):
        assert isinstance(instance, cart.Basket)
        return "tea" in args or kwargs.get("item") == "tea"

    patches = Patches()
    patches.wrap(Target("cart", "Basket.add"), around, is_tea)
    basket = cart.Basket()
    try:
        basket.add("milk", 2)
        basket.add("tea")
        basket.add(item="tea")
        with pytest.raises(ValueError, match="cannot add 0 of milk"):
            basket.add("milk", 0)
    finally:
        patches.restore()

    assert wrapped == ["tea", "tea"]
    assert basket.items == {"milk": 2, "tea": 2}


def test_a_call_is_wrapped_if_its_selection_fails(cart, caplog):
    wrapped = []

    def around(call):
        wrapped.append(call.argument("item"))
        return call()

    def concerns(instance, args, kwargs):
        raise RuntimeError("unknown arguments")

    patches = Patches()
    patches.wrap(Target("cart", "Basket.add"), around, concerns)
    try:
        assert cart.Basket().add("tea") == 1
    finally:
        patches.restore()

    assert wrapped == ["tea"]
    assert "the instrumented program continues" in caplog.text


def test_a_wrapper_that_fails_before_the_call_is_skipped(cart, patched, caplog):
    def around(call):
        raise RuntimeError("before")

    patched(around)
    basket = cart.Basket()

    assert basket.add("tea", 2) == 2
    assert basket.items == {"tea": 2}
    assert "the instrumented program continues" in caplog.text


def test_a_wrapper_that_fails_after_the_call_keeps_the_result(cart, patched):
    def around(call):
        call()
        raise RuntimeError("after")

    patched(around)
    basket = cart.Basket()

    assert basket.add("tea") == 1
    assert basket.items == {"tea": 1}


def test_the_exception_of_the_library_reaches_the_caller_unchanged(cart, patched):
    def around(call):
        try:
            return call()
        except ValueError as error:
            raise RuntimeError("in the handler") from error

    patched(around)
    with pytest.raises(ValueError, match="cannot add 0 of tea") as raised:
        cart.Basket().add("tea", 0)

    assert raised.value.__context__ is None
    assert raised.value.__cause__ is None


def test_a_failure_is_reported_once_as_a_warning(cart, patched, caplog):
    def around(call):
        raise RuntimeError("always")

    patched(around)
    for _ in range(3):
        cart.Basket().add("tea")

    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_exceptions_that_are_not_errors_propagate(cart, patched):
    def around(call):
        raise KeyboardInterrupt

    patched(around)
    with pytest.raises(KeyboardInterrupt):
        cart.Basket().add("tea")


@pytest.mark.parametrize("fails", ["before", "after", "never"])
def test_coroutines_are_guarded_too(fails):
    async def around(call):
        if fails == "before":
            raise RuntimeError
        result = await call()
        if fails == "after":
            raise RuntimeError
        return result

    calls = []

    async def reserve(item):
        calls.append(item)
        if item == "gone":
            raise KeyError(item)
        return item

    wrap = wrapper(around)
    assert asyncio.run(wrap(reserve, None, ("tea",), {})) == "tea"
    with pytest.raises(KeyError):
        asyncio.run(wrap(reserve, None, ("gone",), {}))
    assert calls == ["tea", "gone"]
