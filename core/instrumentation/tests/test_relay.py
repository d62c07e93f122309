from __future__ import annotations

import pickle
import signal
from itertools import count

from assay.instrumentation import RelayBatch, RelayReceiver, RelaySender
from assay.telemetry import span


class Text(str):
    """A text that another process may not know."""

    __slots__ = ()


class Unreadable:
    def __str__(self):
        raise RuntimeError("no text")


def test_events_travel_as_plain_values():
    sender = RelaySender()
    sender.keep(
        "shop.basket.add.stop",
        {"duration": 5, "size": 2.5, "is_big": True, "what": "text"},
        {"item": Text("tea"), "owner": None, "kind": "ValueError", "reason": ValueError("x"), "gift": True},
    )
    (batch,) = [pickle.loads(pickle.dumps(batch)) for batch in sender.drain()]

    (event,) = batch.events
    assert event.measurements == {"duration": 5, "size": 2.5, "is_big": 1}
    assert event.metadata == {"item": "tea", "kind": "ValueError", "error_type": "ValueError", "gift": True}
    assert type(event.metadata["item"]) is str
    assert list(sender.drain()) == []


def test_a_reason_that_is_not_an_exception_is_a_label():
    sender = RelaySender()
    sender.keep("shop.basket.dropped", {}, {"reason": "max_tasks"})
    (batch,) = sender.drain()

    assert batch.events[0].metadata == {"reason": "max_tasks"}


def test_the_span_of_an_event_travels_for_exemplars(sdk):
    sender = RelaySender()
    with sdk.tracer_provider.get_tracer("test").start_as_current_span("current") as current:
        sender.keep("shop.basket.add.stop", {}, {})
    (batch,) = sender.drain()

    expected = current.get_span_context()
    assert batch.events[0].span == (expected.trace_id, expected.span_id, int(expected.trace_flags))


def test_events_beyond_the_limit_are_dropped_and_counted(sdk):
    sender = RelaySender(limit=3)
    for number in range(5):
        sender.keep("shop.basket.add.stop", {"number": number}, {"item": "tea"})
    sender.keep("shop.basket.add.stop", {}, {"item": Unreadable()})
    (batch,) = sender.drain()
    receiver = RelayReceiver(sdk.meter_provider)
    receiver.record(RelayBatch((), 0))
    assert [point.value for point in sdk.points("assay.relay.dropped")] == [0]
    receiver.record(batch)

    assert [event.measurements["number"] for event in batch.events] == [0, 1, 2]
    assert [point.value for point in sdk.points("assay.relay.dropped")] == [3]


def test_a_process_that_relays_records_nothing_and_its_parent_does(shop, sdk, other_sdk):
    shop.ShopInstrumentor().instrument(**sdk.providers)
    sender = RelaySender()
    sender.start()
    with span("shop.basket.add", item="tea"):
        pass
    batches = list(sender.drain())
    assert sdk.points("shop.added") == []
    assert len(sdk.spans("shop.basket.add")) == 1
    shop.ShopInstrumentor().uninstrument()

    shop.ShopInstrumentor().instrument(**other_sdk.providers)
    receiver = RelayReceiver(other_sdk.meter_provider)
    for batch in batches:
        receiver.record(batch)

    assert other_sdk.totals("shop.added", "item") == {"tea": 1}
    assert other_sdk.spans() == []


def test_an_event_in_a_signal_handler_in_the_middle_of_another():
    sender = RelaySender(limit=1_000_000)
    interrupted = count(0)

    def on_signal(*_):
        next(interrupted)
        sender.keep("shop.signal", {}, {})

    before = signal.signal(signal.SIGALRM, on_signal)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(20_000):
            sender.keep("shop.basket.add.stop", {}, {"item": "tea"})
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    (batch,) = sender.drain()

    assert len(batch.events) == 20_000 + next(interrupted) > 20_000
    assert batch.dropped == 0
