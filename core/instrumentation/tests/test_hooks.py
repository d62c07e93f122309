from __future__ import annotations

import pytest

from assay.instrumentation import Hook, HookPoint, Hooks

POINT = HookPoint("request_hook", "SHOP_CART_REQUEST_HOOK")
REFERENCE = "shop_instrumentation:name_the_owner"


def test_hooks_get_the_recording_span_and_the_result(cart, shop, sdk):
    seen = []

    def respond(span, basket, result):
        span.set_attribute("shop.result", repr(result))
        seen.append(type(basket).__name__)

    shop.CartInstrumentor().instrument(
        request_hook=shop.name_the_owner, response_hook=respond, **sdk.providers
    )
    cart.Basket().add("tea", 2)
    with pytest.raises(ValueError, match="cannot add"):
        cart.Basket().add("tea", 0)

    added, failed = sdk.spans("shop.basket.add")
    assert (added.attributes["shop.owner"], added.attributes["shop.result"]) == ("omar", "2")
    assert failed.attributes["shop.result"] == "ValueError('cannot add 0 of tea')"
    assert seen == ["Basket", "Basket"]


def test_a_hook_that_fails_is_logged_and_changes_nothing(cart, shop, sdk, caplog):
    def fails(span, basket):
        raise RuntimeError("hook")

    shop.CartInstrumentor().instrument(request_hook=fails, **sdk.providers)

    assert cart.Basket().add("tea") == 1
    assert cart.Basket().add("tea") == 1
    assert len(sdk.spans("shop.basket.add")) == 2
    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


def test_hooks_never_get_the_span_of_the_caller(cart, shop, sdk, monkeypatch):
    monkeypatch.setenv("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "shop")
    seen = []
    shop.CartInstrumentor().instrument(
        request_hook=lambda *got: seen.append(got), response_hook=lambda *got: seen.append(got)
    )
    with sdk.tracer_provider.get_tracer("caller").start_as_current_span("caller"):
        cart.Basket().add("tea")

    assert seen == []


def test_a_hook_is_imported_from_the_environment_when_it_is_needed(cart, shop, sdk, monkeypatch):
    monkeypatch.setenv("SHOP_CART_REQUEST_HOOK", REFERENCE)
    shop.CartInstrumentor().instrument(**sdk.providers)
    cart.Basket().add("tea")

    (span,) = sdk.spans("shop.basket.add")
    assert span.attributes["shop.owner"] == "omar"


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("shop_instrumentation.name_the_owner", "must have the form package.module:function"),
        ("no_such_module:hook", "No module named 'no_such_module'"),
        ("shop_instrumentation:gone", "has no attribute 'gone'"),
        ("shop_instrumentation:NOT_A_FUNCTION", "it is not a function"),
    ],
)
def test_a_wrong_hook_is_a_clear_warning(  # noqa: PLR0913, PLR0917  fixtures
    cart, shop, sdk, monkeypatch, caplog, reference, reason
):
    monkeypatch.setenv("SHOP_CART_REQUEST_HOOK", reference)
    shop.CartInstrumentor().instrument(**sdk.providers)
    cart.Basket().add("tea")
    cart.Basket().add("tea")

    (warning,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert f"request_hook (SHOP_CART_REQUEST_HOOK={reference}) is not used" in warning
    assert reason in warning
    assert len(sdk.spans("shop.basket.add")) == 2


def test_a_function_that_can_be_imported_has_a_reference(shop):
    hooks = Hooks((POINT,), {"request_hook": shop.name_the_owner})

    assert hooks.references() == {"request_hook": REFERENCE}
    assert hooks.variables() == {"SHOP_CART_REQUEST_HOOK": REFERENCE}


def test_a_function_that_cannot_be_imported_is_reported_once(caplog):
    hook = Hook(POINT, lambda span: None)

    assert hook.reference() == ""
    assert hook.reference() == ""
    (warning,) = [record.message for record in caplog.records]
    assert "cannot be imported by child processes" in warning


def test_a_child_adopts_a_hook_only_where_it_has_none(shop, sdk):
    span, own = sdk.tracer_provider.get_tracer("test").start_span("span"), []
    adopts, keeps = Hooks((POINT,)), Hooks((POINT,), {"request_hook": lambda *_: own.append(1)})
    for hooks in (adopts, keeps):
        hooks.adopt({"request_hook": REFERENCE})
        hooks["request_hook"](span, None)

    assert dict(span.attributes) == {"shop.owner": "omar"}
    assert own == [1]
