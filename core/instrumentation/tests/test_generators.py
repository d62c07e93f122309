from __future__ import annotations

import asyncio
import contextvars
import inspect

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import TracerProvider

from assay.instrumentation import follow, follow_async
from assay.telemetry.ambient import correlation_id

TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")


class Watched:
    """An operation with a span of its own that is current inside the generator."""

    def __init__(self):
        self.log = []
        self.span = None
        self.outside = None

    def start(self):
        self.log.append("start")
        self.outside = otel_context.get_current()
        self.span = TRACER.start_span("watched")
        otel_context.attach(trace.set_span_in_context(self.span))
        correlation_id.set("inside")

    def item(self, item):
        self.log.append(item)

    def end(self, error):
        self.log.append(repr(error) if error is not None else "end")
        self.span.end()
        otel_context.attach(self.outside)


def _is_inside(operation):
    return trace.get_current_span() is operation.span and correlation_id.get() == "inside"


def test_items_and_the_return_value_are_the_generators(cart):
    operation = Watched()

    def delegates():
        return (yield from follow(cart.parcels(["tea", "milk"]), operation))

    generator = delegates()
    assert list(generator) == ["parcel of tea", "parcel of milk"]
    assert operation.log == ["start", "parcel of tea", "parcel of milk", "end"]
    with pytest.raises(StopIteration) as stop:
        next(consumed := follow(cart.parcels([]), Watched()))
    assert stop.value.value == 0
    assert inspect.isgenerator(consumed)


def test_the_operation_is_current_inside_and_not_outside():
    operation = Watched()
    seen = []

    def generator():
        for number in range(2):
            seen.append(_is_inside(operation))
            yield number

    for _ in follow(generator(), operation):
        assert not trace.get_current_span().get_span_context().is_valid
        assert correlation_id.get() is None
    assert seen == [True, True]
    assert not trace.get_current_span().get_span_context().is_valid


def test_the_context_of_the_consumer_is_kept():
    def generator():
        yield 1
        yield 2

    token = None
    for number in follow(generator(), Watched()):
        if number == 1:
            token = otel_context.attach(baggage.set_baggage("from", "consumer"))
        else:
            assert baggage.get_baggage("from") == "consumer"
    otel_context.detach(token)


def test_context_variables_of_the_program_are_left_alone():
    variable = contextvars.ContextVar("variable", default="unset")

    def generator():
        variable.set("set inside")
        yield

    def program():
        list(follow(generator(), Watched()))
        return variable.get()

    assert contextvars.copy_context().run(program) == "set inside"


def test_values_and_exceptions_are_sent_in():
    def generator():
        received = yield "first"
        try:
            yield received
        except KeyError as error:
            yield f"caught {error}"

    operation = Watched()
    followed = follow(generator(), operation)
    assert next(followed) == "first"
    assert followed.send("sent") == "sent"
    assert followed.throw(KeyError("k")) == "caught 'k'"
    assert next(followed, "done") == "done"
    assert operation.log[-1] == "end"


def test_an_exception_ends_it_and_reaches_the_consumer():
    def generator():
        yield 1
        raise ValueError("inside")

    operation = Watched()
    with pytest.raises(ValueError, match="inside"):
        list(follow(generator(), operation))
    assert operation.log == ["start", 1, "ValueError('inside')"]


def test_closing_early_closes_the_generator():
    closed = []

    def generator():
        try:
            yield 1
        finally:
            closed.append(_is_inside(operation))

    operation = Watched()
    followed = follow(generator(), operation)
    next(followed)
    followed.close()
    assert closed == [True]
    assert operation.log[-1] == "GeneratorExit()"


def test_a_generator_that_is_never_used_starts_no_operation():
    operation = Watched()
    follow(iter([1]), operation).close()
    assert operation.log == []


def test_a_plain_iterator_is_followed():
    followed = follow(iter([1, 2]), Watched())
    assert next(followed) == 1
    with pytest.raises(KeyError):
        followed.throw(KeyError("k"))


def test_an_operation_that_fails_does_not_fail_the_generator(cart, caplog):
    class Fails:
        def start(self):
            raise RuntimeError("start")

        def item(self, item):
            raise RuntimeError("item")

        def end(self, error):
            raise RuntimeError("end")

    assert list(follow(cart.parcels(["tea"]), Fails())) == ["parcel of tea"]
    assert {r.message.split(";")[0].rpartition(".")[2] for r in caplog.records} == {"start", "item", "end"}


def test_asynchronous_generators_are_followed(cart):
    operation = Watched()

    async def consume():
        found = []
        async for message in follow_async(cart.messages(["tea"]), operation):
            assert not trace.get_current_span().get_span_context().is_valid
            found.append(message)
        return found

    assert asyncio.run(consume()) == ["message on tea"]
    assert operation.log == ["start", "message on tea", "end"]


def test_asynchronous_generators_get_what_is_sent_and_thrown():
    async def generator():
        received = yield _is_inside(operation)
        await asyncio.sleep(0)
        try:
            yield received
        except KeyError:
            yield _is_inside(operation)

    operation = Watched()

    async def consume():
        followed = follow_async(generator(), operation)
        found = [await anext(followed), await followed.asend("sent"), await followed.athrow(KeyError("k"))]
        await followed.aclose()
        return found

    assert asyncio.run(consume()) == [True, "sent", True]
    assert operation.log[-1] == "GeneratorExit()"


def test_a_cancelled_consumer_ends_the_operation():
    async def generator():
        await asyncio.sleep(3600)
        yield

    operation = Watched()

    async def consume():
        async for _ in follow_async(generator(), operation):
            pass

    async def cancel():
        task = asyncio.create_task(consume())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert operation.log == ["start", "CancelledError()"]


def test_two_tasks_do_not_see_each_others_operation():
    async def run(operation):
        async def generator():
            for _ in range(3):
                await asyncio.sleep(0)
                yield _is_inside(operation)

        return [inside async for inside in follow_async(generator(), operation)]

    async def both():
        return await asyncio.gather(run(Watched()), run(Watched()))

    assert asyncio.run(both()) == [[True] * 3, [True] * 3]
