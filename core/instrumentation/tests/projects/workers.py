"""A program that sets up OpenTelemetry itself and works in child processes: `workers.py METHOD`.

METHOD is fork, spawn, forkserver or exec. Everything below runs again where a child imports the program.
"""

import multiprocessing
import subprocess
import sys

import cart
from opentelemetry import baggage, context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from shop_instrumentation import CartInstrumentor, name_the_owner

from assay.instrumentation import ChildTarget, RelayReceiver, RelaySender, join_parent, prepare_child
from assay.telemetry import correlation


def set_up():
    provider = TracerProvider()
    # Longer than the program runs: spans leave when a process flushes.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(), schedule_delay_millis=3_600_000))
    trace.set_tracer_provider(provider)


def work(queue):
    sender = RelaySender()
    sender.start()
    cart.Basket().add("from child")
    for batch in sender.drain():
        queue.put(batch)


def execute():
    """Be the program that an exec'd child runs."""
    CartInstrumentor().instrument()
    join_parent()
    print(baggage.get_baggage("order"))
    cart.Basket().add("from child")


def start(method):
    CartInstrumentor().instrument(request_hook=name_the_owner)
    tracer = trace.get_tracer("program")
    context.attach(baggage.set_baggage("order", "o-17"))
    with correlation("order-17"), tracer.start_as_current_span("parent"):
        if method == "exec":
            command = [sys.executable, __file__, "execute"]
            environment = prepare_child(CartInstrumentor()).environment()
            print(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
        else:
            multiprocess(method)


def multiprocess(method):
    processes = multiprocessing.get_context(method)
    queue = processes.Queue()
    child = processes.Process(target=ChildTarget(work, CartInstrumentor()), args=(queue,))
    child.start()
    batch = queue.get(timeout=60)
    child.join()
    RelayReceiver().record(batch)
    print([(event.event, event.metadata["item"]) for event in batch.events])


if __name__ in {"__main__", "__mp_main__"}:
    set_up()
if __name__ == "__main__":
    execute() if sys.argv[1] == "execute" else start(sys.argv[1])
