from __future__ import annotations

import importlib.util

import pytest
from opentelemetry import context
from opentelemetry.context import Context

from assay.telemetry import _otel_context, ambient


def test_the_current_context_is_the_one_of_opentelemetry():
    token = context.attach(context.set_value("key", "value"))
    try:
        assert ambient.current_context() is context.get_current()
    finally:
        context.detach(token)


def test_an_attached_context_is_current_for_opentelemetry_and_detached_by_its_token():
    before, inside = context.get_current(), Context({"key": "value"})

    token = ambient.attach_context(inside)
    try:
        assert context.get_current() is inside
    finally:
        context.detach(token)

    assert context.get_current() is before


@pytest.mark.parametrize(
    "key", [context._SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"], ids=["private", "plain"]
)
def test_suppression_by_either_key_is_seen(key):
    assert not ambient.is_suppressed()

    token = context.attach(context.set_value(key, value=True))
    try:
        assert ambient.is_suppressed()
    finally:
        context.detach(token)


class OtherRuntimeContext:
    """A runtime context such as OTEL_PYTHON_CONTEXT may name."""

    def __init__(self) -> None:
        self.current = Context()

    def attach(self, new: Context) -> None:
        self.current = new

    def get_current(self) -> Context:
        return self.current


def test_another_runtime_context_is_used_if_opentelemetry_uses_it(monkeypatch):
    runtime = OtherRuntimeContext()
    monkeypatch.setattr(context, "_RUNTIME_CONTEXT", runtime)
    spec = importlib.util.spec_from_file_location("otel_context_again", _otel_context.__file__)
    again = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(again)

    again.attach(Context({"key": "value"}))

    assert again.get_current() == {"key": "value"} == runtime.current
