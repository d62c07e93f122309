"""Child processes of each start method: real programs that export to a real receiver."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context

from assay.instrumentation import ChildSetup, children, flush, prepare_child
from assay.instrumentation.testing import OTLPReceiver, clean_environment
from assay.instrumentation.testing.receiver import attributes
from assay.telemetry import correlation
from assay.telemetry.ambient import correlation_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def receiver():
    """Return the receiver that the programs export to."""
    with OTLPReceiver() as found:
        yield found


def _run(projects, receiver, *arguments, **variables):
    environment = clean_environment(
        OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint, PYTHONPATH=str(projects), **variables
    )
    done = subprocess.run(
        [sys.executable, str(projects / "workers.py"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


METHODS = [
    pytest.param("fork", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")),
    "spawn",
    "forkserver",
    "exec",
]


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_child_is_instrumented_joined_and_flushed(projects, receiver, method):
    done = _run(projects, receiver, method)

    (parent,) = receiver.spans("parent")
    (child,) = receiver.spans("shop.basket.add")
    assert child.trace_id == parent.trace_id
    assert child.parent_span_id == parent.span_id
    found = attributes(child.attributes)
    assert found["shop.item"] == "from child"
    assert found["assay.correlation_id"] == "order-17"
    assert found["shop.owner"] == "omar", "the user's hook reaches the child"
    expected = "o-17" if method == "exec" else "[('shop.basket.add.stop', 'from child')]"
    assert done.stdout.strip() == expected


def test_a_setup_can_be_pickled_and_holds_the_context(shop, sdk):
    shop.CartInstrumentor().instrument(request_hook=shop.name_the_owner, **sdk.providers)
    tracer = sdk.tracer_provider.get_tracer("test")
    with correlation("order-17"), tracer.start_as_current_span("parent") as parent:
        token = otel_context.attach(baggage.set_baggage("order", "o-17"))
        setup = pickle.loads(pickle.dumps(prepare_child(shop.CartInstrumentor())))
        otel_context.detach(token)

    environment = setup.environment({"PATH": "/bin", "TRACEPARENT": TRACEPARENT, "TRACESTATE": "old=1"})
    _, trace_id, span_id, _ = environment["TRACEPARENT"].split("-")
    context = parent.get_span_context()
    assert (int(trace_id, 16), int(span_id, 16)) == (context.trace_id, context.span_id)
    assert "order=o-17" in environment["BAGGAGE"]
    assert "TRACESTATE" not in environment
    assert environment["ASSAY_CORRELATION_ID"] == "order-17"
    assert environment["SHOP_CART_REQUEST_HOOK"] == "shop_instrumentation:name_the_owner"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize(("asked", "joins"), [("1", True), ("", False)])
def test_a_program_joins_the_trace_of_its_environment_only_if_it_is_a_child(monkeypatch, asked, joins):
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    monkeypatch.setenv("BAGGAGE", "order=o-17")
    monkeypatch.setenv("ASSAY_CHILD", asked)
    before = otel_context.get_current()
    children.join_parent_if_asked()
    try:
        span = trace.get_current_span().get_span_context()
        assert span.is_valid is joins
        assert (f"{span.trace_id:032x}" == TRACEPARENT[3:35]) is joins
        assert baggage.get_baggage("order") == ("o-17" if joins else None)
    finally:
        otel_context.attach(before)


def test_a_child_with_a_broken_setup_runs_all_the_same(caplog):
    before = correlation_id.get()
    ChildSetup({"TRACEPARENT": "nonsense"}, "order-17", {"no.such.module:Instrumentor": {}}).apply()

    assert correlation_id.get() == "order-17"
    assert "the instrumented program continues" in caplog.text
    correlation_id.set(before)


def test_a_flush_ends_at_its_bound(tmp_path):
    """In a process of its own, since the global provider is set once."""
    program = textwrap.dedent("""
        import threading
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
        from assay.instrumentation import flush

        class Hangs(SpanExporter):
            def export(self, spans):
                threading.Event().wait(3600)

        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(Hangs(), schedule_delay_millis=3_600_000))
        trace.set_tracer_provider(provider)
        trace.get_tracer("test").start_span("held").end()
        print(flush(timeout=0.2))
    """)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_child_exits_though_its_exporter_hangs(tmp_path):
    program = textwrap.dedent("""
        import multiprocessing, threading
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
        from assay.instrumentation import ChildTarget

        class Hangs(SpanExporter):
            def export(self, spans):
                threading.Event().wait(3600)

        def work():
            provider = TracerProvider(shutdown_on_exit=False)
            provider.add_span_processor(BatchSpanProcessor(Hangs(), schedule_delay_millis=3_600_000))
            trace.set_tracer_provider(provider)
            trace.get_tracer("test").start_span("held").end()

        child = multiprocessing.get_context("fork").Process(target=ChildTarget(work))
        child.start()
        child.join(60)
        print(child.exitcode)
        child.kill()
    """)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr


def test_a_flush_without_providers_is_done():
    assert flush(timeout=5)
