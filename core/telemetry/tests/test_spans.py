from __future__ import annotations

import asyncio
import inspect
from contextlib import aclosing, suppress
from contextvars import ContextVar

import pytest

from assay.telemetry import Phases, attach, bus, span
from assay.telemetry.ambient import correlation_id

VALUE = ContextVar("VALUE", default="outside")


def test_a_block_is_a_start_and_a_stop(seen):
    with span("a.b", asset="x") as s:
        s.measurements["size"] = 3
        s.metadata["status"] = "done"
    assert seen.names == ["a.b.start", "a.b.stop"]
    (started, before), (stopped, after) = seen.of("a.b.start"), seen.of("a.b.stop")
    assert set(started) == {"system_time", "monotonic_time"}
    assert stopped["duration"] == stopped["monotonic_time"] - started["monotonic_time"] >= 0
    assert stopped["size"] == 3
    assert before["telemetry_span_context"] == after["telemetry_span_context"]
    assert (before["asset"], after["asset"], after["status"]) == ("x", "x", "done")
    assert before["correlation_id"] == after["correlation_id"]


def test_two_spans_have_two_contexts(seen):
    for _ in range(2):
        with span("a.b"):
            pass
    contexts = [d["telemetry_span_context"] for _, _, d in seen]
    assert contexts[0] == contexts[1] != contexts[2] == contexts[3]


def test_an_exception_goes_on_and_is_told(seen):
    with pytest.raises(LookupError), span("a.b"):
        raise LookupError("gone")
    assert seen.names == ["a.b.start", "a.b.exception"]
    measurements, metadata = seen.of("a.b.exception")
    assert set(measurements) == {"duration", "monotonic_time"}
    assert (metadata["kind"], metadata["reason"]) == ("LookupError", "gone")
    assert metadata["stacktrace"].rstrip().endswith("LookupError: gone")


def test_fail_tells_of_an_error_that_nobody_raised(seen):
    with span("a.b") as s:
        s.fail(ValueError("wrong"))
    with span("a.c") as s:
        s.fail("no quota", kind="Quota")
    assert seen.of("a.b.exception")[1]["kind"] == "ValueError"
    assert (seen.of("a.c.exception")[1]["kind"], seen.of("a.c.exception")[1]["reason"]) == (
        "Quota",
        "no quota",
    )


def test_names_that_a_program_makes_up_are_told_past_what_is_remembered(seen, monkeypatch):
    monkeypatch.setattr(bus, "CACHE_LIMIT", 0)
    with span("made.up.name"):
        pass
    with pytest.raises(LookupError), span("made.up.name"):
        raise LookupError
    assert seen.names[1:] == ["made.up.name.stop", "made.up.name.start", "made.up.name.exception"]


def test_metadata_may_have_any_key(seen):
    with span("a.b", event="e", self="s"):
        pass
    assert seen[0][2]["event"] == "e"


def test_an_error_whose_text_raises_is_told_all_the_same(seen):
    class NastyError(Exception):
        def __str__(self):
            raise RuntimeError

    with pytest.raises(NastyError), span("a.b"):
        raise NastyError
    assert seen.names == ["a.b.start", "a.b.exception"]


def test_a_handler_of_the_stop_alone_gets_everything():
    got = []
    attach("stop", "a.b.stop", lambda _e, m, d, _c: got.append((m["duration"], d["asset"])))
    with span("a.b", asset="x"):
        pass
    assert got[0][1] == "x"


def test_what_is_inside_shares_the_correlation_id_and_what_is_after_does_not(seen):
    with span("a.outer"), span("a.inner"):
        pass
    ids = {name: d["correlation_id"] for name, _, d in seen}
    assert len(set(ids.values())) == 1
    assert correlation_id.get() is None


class TestDecorator:
    def test_a_function_keeps_its_face(self, seen):
        @span("a.b", asset="x")
        def add(one, two=2):
            """Add."""
            return one + two

        assert add(1) == 3
        assert (add.__name__, add.__doc__) == ("add", "Add.")
        assert str(inspect.signature(add)) == "(one, two=2)"
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_methods_of_each_kind(self, seen):
        class Shop:
            factor = 2

            @span("a.method")
            def double(self, n):
                return self.factor * n

            @span("a.class")
            @classmethod
            def name(cls):
                return cls.__name__

            @span("a.static")
            @staticmethod
            def one():
                return 1

        assert (Shop().double(4), Shop.name(), Shop.one()) == (8, "Shop", 1)
        assert seen.names == [f"a.{k}.{p}" for k in ("method", "class", "static") for p in ("start", "stop")]

    def test_a_recursive_function_nests(self, seen):
        @span("a.b")
        def down(n):
            return n and down(n - 1)

        down(2)
        assert seen.names == ["a.b.start"] * 3 + ["a.b.stop"] * 3

    def test_a_coroutine(self, seen):
        @span("a.b")
        async def work():
            await asyncio.sleep(0)
            return 5

        assert inspect.iscoroutinefunction(work)
        assert asyncio.run(work()) == 5
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_a_cancelled_coroutine_ends_as_canceled_without_an_error(self, seen):
        @span("a.b")
        async def work():
            await asyncio.sleep(60)

        async def main():
            task = asyncio.create_task(work())
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        asyncio.run(main())
        assert seen.names == ["a.b.start", "a.b.stop"]
        assert seen.of("a.b.stop")[1]["status"] == "canceled"

    def test_tasks_do_not_share_what_is_current(self, seen):
        @span("a.b")
        async def work():
            before = correlation_id.get()
            await asyncio.sleep(0.001)
            return before == correlation_id.get()

        async def main():
            return await asyncio.gather(*(work() for _ in range(10)))

        assert all(asyncio.run(main()))
        assert len({d["correlation_id"] for _, _, d in seen}) == 10


class TestGenerator:
    def test_it_is_the_generator_it_was(self, seen):
        @span("a.b")
        def echo(first):
            got = yield first
            try:
                yield got
            except KeyError:
                yield "caught"
            return "returned"

        def consume():
            return (yield from echo(1))

        assert inspect.isgeneratorfunction(echo)
        run = consume()
        assert [next(run), run.send("sent"), run.throw(KeyError())] == [1, "sent", "caught"]
        with pytest.raises(StopIteration) as stop:
            next(run)
        assert stop.value.value == "returned"
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_it_starts_with_its_first_step(self, seen):
        run = span("a.b")(lambda: (yield 1))()
        assert seen == []
        next(run)
        assert seen.names == ["a.b.start"]
        run.close()

    def test_closing_it_is_no_error_and_runs_its_finally(self, seen):
        closed = []

        @span("a.b")
        def numbers():
            try:
                yield 1
            finally:
                closed.append(1)

        for _ in numbers():
            break
        assert (closed, seen.names) == ([1], ["a.b.start", "a.b.stop"])

    def test_an_error_in_it_is_an_exception(self, seen):
        @span("a.b")
        def numbers():
            yield 1
            raise ValueError

        with pytest.raises(ValueError):  # noqa: PT011 - raised bare above
            list(numbers())
        assert seen.names == ["a.b.start", "a.b.exception"]

    def test_one_that_will_not_close_is_told_so(self, seen):
        @span("a.b")
        def stubborn():
            for _ in range(2):
                with suppress(GeneratorExit):
                    yield

        run = stubborn()
        next(run)
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            run.close()

    def test_nothing_leaks_to_the_consumer_between_steps(self):
        attach("one", "*", lambda *_: None)

        @span("a.b")
        def numbers():
            VALUE.set("inside")
            yield VALUE.get(), correlation_id.get()
            yield VALUE.get(), correlation_id.get()

        run = numbers()
        first = next(run)
        assert first[0] == "inside"
        assert first[1] is not None
        assert (VALUE.get(), correlation_id.get()) == ("outside", None)
        assert next(run) == first, "and its own state stays between its steps"

    def test_two_that_interleave_are_two(self, seen):
        @span("a.b")
        def numbers(n):
            for _ in range(2):
                yield n, correlation_id.get()

        pairs = list(zip(numbers(1), numbers(2), strict=False))
        ones, twos = {p[0] for p in pairs}, {p[1] for p in pairs}
        assert len(ones) == len(twos) == 1
        assert {o[1] for o in ones} != {t[1] for t in twos}


class TestAsyncGenerator:
    def test_it_is_the_generator_it_was(self, seen):
        @span("a.b")
        async def echo(first):
            got = yield first
            await asyncio.sleep(0)
            try:
                yield got
            except KeyError:
                yield "caught"

        async def main():
            run = echo(1)
            got = [await run.asend(None), await run.asend("sent"), await run.athrow(KeyError())]
            with pytest.raises(StopAsyncIteration):
                await run.asend(None)
            return got

        assert inspect.isasyncgenfunction(echo)
        assert asyncio.run(main()) == [1, "sent", "caught"]
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_closing_it_is_no_error_and_runs_its_finally(self, seen):
        closed = []

        @span("a.b")
        async def numbers():
            try:
                yield 1
            finally:
                await asyncio.sleep(0)
                closed.append(1)

        async def main():
            async with aclosing(numbers()) as run:
                async for _ in run:
                    break

        asyncio.run(main())
        assert (closed, seen.names) == ([1], ["a.b.start", "a.b.stop"])

    def test_one_that_is_forgotten_is_closed_by_the_loop(self, seen):
        @span("a.b")
        async def numbers():
            yield 1
            yield 2

        async def main():
            async for _ in numbers():
                break
            await asyncio.sleep(0.01)

        asyncio.run(main())
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_an_error_in_it_is_an_exception(self, seen):
        @span("a.b")
        async def numbers():
            yield 1
            raise ValueError

        async def main():
            with pytest.raises(ValueError):  # noqa: PT011 - raised bare above
                [n async for n in numbers()]

        asyncio.run(main())
        assert seen.names == ["a.b.start", "a.b.exception"]

    def test_cancelling_reaches_what_it_waits_for(self, seen):
        cancelled = []

        @span("a.b")
        async def numbers():
            yield 1
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled.append(1)
                raise

        async def consume():
            async for _ in numbers():
                pass

        async def main():
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(consume(), 0.01)

        asyncio.run(main())
        assert cancelled == [1]
        assert seen.names == ["a.b.start", "a.b.stop"]

    def test_nothing_leaks_to_the_consumer_between_steps(self):
        attach("one", "*", lambda *_: None)

        @span("a.b")
        async def numbers():
            VALUE.set("inside")
            yield VALUE.get(), correlation_id.get()
            await asyncio.sleep(0)
            yield VALUE.get(), correlation_id.get()

        async def main():
            got = []
            async for item in numbers():
                got.append(item)
                assert (VALUE.get(), correlation_id.get()) == ("outside", None)
            return got

        first, second = asyncio.run(main())
        assert first == second
        assert first[0] == "inside"


def test_close_returns_what_it_returns_for_a_plain_generator():
    def numbers():
        with suppress(GeneratorExit):
            yield 1
        return 7

    plain, spanned = numbers(), span("a.b")(numbers)()
    next(plain)
    next(spanned)
    # The value from Python 3.13 on, None before.
    assert spanned.close() == plain.close()


def test_a_span_may_end_with_another_phase(seen):
    with span("shop.sale", till=1) as sale:
        sale.end_as("canceled")
    with span("shop.sale"):
        pass
    assert seen.names == ["shop.sale.start", "shop.sale.canceled", "shop.sale.start", "shop.sale.stop"]
    ended, described = seen.of("shop.sale.canceled")
    assert ended["duration"] >= 0
    assert described["till"] == 1


class TestPhases:
    def test_the_events_have_the_names_of_the_phases(self, seen):
        phases = Phases("init", "complete", "error", canceled="aborted")
        with span("a.reader", phases=phases, asset="x") as reader:
            reader.emit("read", items=3)
        with pytest.raises(LookupError), span("a.reader", phases=phases):
            raise LookupError
        assert seen.names == [
            "a.reader.init",
            "a.reader.read",
            "a.reader.complete",
            "a.reader.init",
            "a.reader.error",
        ]
        read = seen.of("a.reader.read")[1]
        assert (read["asset"], read["items"]) == ("x", 3)
        assert "telemetry_span_context" not in read
        assert seen.of("a.reader.error")[1]["kind"] == "LookupError"

    def test_a_cancellation_ends_with_its_phase(self, seen):
        with pytest.raises(asyncio.CancelledError), span("a.run", phases=Phases(canceled="canceled")):
            raise asyncio.CancelledError
        assert seen.names == ["a.run.start", "a.run.canceled"]

    def test_a_decorated_function_has_them_too(self, seen):
        span("a.reader", phases=Phases("init", "complete", "error"))(lambda: None)()
        assert seen.names == ["a.reader.init", "a.reader.complete"]


@pytest.mark.parametrize(
    ("raised", "end"),
    [
        (SystemExit(), "stop"),
        (SystemExit(0), "stop"),
        (SystemExit(3), "exception"),
        (SystemExit("usage"), "exception"),
        (GeneratorExit(), "stop"),
        (KeyboardInterrupt(), "exception"),
    ],
)
def test_an_end_of_the_program_is_an_error_only_if_it_says_so(seen, raised, end):
    with pytest.raises(type(raised)), span("a.b"):
        raise raised
    assert seen.names == ["a.b.start", f"a.b.{end}"]


def test_a_span_that_is_entered_twice_is_two_spans(seen):
    twice = span("a.b", asset="x")
    with twice as outer:
        outer.metadata["which"] = "outer"
        with twice as inner:
            inner.metadata["which"] = "inner"
    keys = [(event, d["telemetry_span_context"], d.get("which")) for event, _, d in seen]
    first, second = keys[0][1], keys[1][1]
    assert first != second
    assert keys[2:] == [("a.b.stop", second, "inner"), ("a.b.stop", first, "outer")]
    assert correlation_id.get() is None


def test_a_span_may_be_entered_again_after_it_was_left(seen):
    again = span("a.b")
    for _ in range(2):
        with again:
            pass
    assert seen.names == ["a.b.start", "a.b.stop"] * 2
