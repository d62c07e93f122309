"""The parts of a catalogue."""

from assay.semconv import CATALOGUE
from assay.semconv.catalogue import Attribute, Catalogue, Event, Metric, Recording, Span

PIPELINES = Catalogue(
    attributes={"shop.order_id": Attribute("shop.order_id", "order_id")},
    spans={"shop.order": Span("shop.order"), "farm.harvest": Span("farm.harvest")},
    events={"shop.order.placed": Event("shop.order.placed"), "farm.rain": Event("farm.rain")},
    metrics={
        "shop.orders": Metric(
            "shop.orders", "counter", "{order}", recordings=(Recording("shop.order.placed"),)
        ),
        "pipeline.runs": Metric(
            "pipeline.runs",
            "counter",
            "{run}",
            recordings=(Recording("shop.order.stop"), Recording("farm.harvest.stop")),
        ),
        "farm.fields": Metric("farm.fields", "gauge", "{field}"),
    },
)


def test_a_part_holds_what_its_events_feed():
    part = PIPELINES.of("shop")
    assert list(part.spans) == ["shop.order"]
    assert list(part.events) == ["shop.order.placed"]
    assert list(part.metrics) == ["shop.orders", "pipeline.runs"]
    assert part.metrics["pipeline.runs"].recordings == (Recording("shop.order.stop"),)
    assert part.attributes == PIPELINES.attributes


def test_the_rest_holds_what_the_part_leaves():
    rest = PIPELINES.without("shop")
    assert rest == PIPELINES.of("farm")
    assert rest.metrics["pipeline.runs"].recordings == (Recording("farm.harvest.stop"),)
    assert "farm.fields" in rest.metrics


def test_a_subsystem_is_a_whole_segment():
    assert PIPELINES.of("sho") == Catalogue(attributes=PIPELINES.attributes)
    assert PIPELINES.without("sho") == PIPELINES


def test_the_subsystems_divide_the_generated_catalogue():
    names = {name.partition(".")[0] for name in (*CATALOGUE.spans, *CATALOGUE.events, *CATALOGUE.metrics)}
    parts = [CATALOGUE.of(name) for name in sorted(names)]
    for section in ("spans", "events"):
        assert sum(len(getattr(part, section)) for part in parts) == len(getattr(CATALOGUE, section))
    recorded = [
        recording for part in parts for metric in part.metrics.values() for recording in metric.recordings
    ]
    assert len(recorded) == sum(len(metric.recordings) for metric in CATALOGUE.metrics.values())
    for part, name in zip(parts, sorted(names), strict=True):
        rest = CATALOGUE.without(name)
        assert {*part.spans}.isdisjoint(rest.spans)
        assert {*part.events}.isdisjoint(rest.events)
