"""The spans and log events in files of OTLP JSON lines."""

from __future__ import annotations

import json

from assay.cli._demo.arrivals import read_log_events, read_spans
from assay.cli._unregistered import UnregisteredEvents


def span(name: str, event: str = "", trace: str = "a") -> dict:
    attributes = {"flowstone.run_id": "run-1"} | ({"assay.span.event": event} if event else {})
    return {
        "name": name,
        "traceId": trace,
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in attributes.items()],
    }


def traces(*spans: dict, scope: str = "assay.distro") -> str:
    scoped = {"scope": {"name": scope}, "spans": spans}
    return json.dumps({"resourceSpans": [{"scopeSpans": [scoped]}]}) + "\n"


def logs(*names: str, scope: str = "assay.distro") -> str:
    scoped = {"scope": {"name": scope}, "logRecords": [{"eventName": name} for name in names]}
    return json.dumps({"resourceLogs": [{"scopeLogs": [scoped]}]}) + "\n"


def test_the_attribute_names_a_spans_event_and_else_its_name(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text(traces(span("RUN nightly", "flowstone.run"), span("flowstone.run", trace="b")) + '{"cut')
    found = read_spans(path)
    assert found.events == {"flowstone.run": 2}
    assert found.names == {"RUN nightly": 1, "flowstone.run": 1}
    assert found.runs == {"run-1": {"a", "b"}}


def test_a_missing_file_has_no_records(tmp_path):
    assert not read_spans(tmp_path / "missing").names
    assert not read_log_events(tmp_path / "missing")


def test_an_unregistered_event_is_returned_once(tmp_path):
    traces_file, logs_file = tmp_path / "traces.jsonl", tmp_path / "logs.jsonl"
    logs_file.write_text(logs("shop.before"))
    unregistered = UnregisteredEvents(traces_file, logs_file, {"flowstone.run"})
    assert unregistered.read() == []
    traces_file.write_text(
        traces(span("RUN nightly", "flowstone.run"), span("DELIVER o-1", "shop.delivery"), span("shop.price"))
        + traces(span("GET"), scope="opentelemetry.instrumentation.requests")
    )
    with logs_file.open("a") as file:
        file.write(
            logs("shop.order.taken", "") + logs("gen_ai.call", scope="opentelemetry.instrumentation.x")
        )
    assert unregistered.read() == ["shop.delivery", "shop.order.taken", "shop.price"]
    with logs_file.open("a") as file:
        file.write(logs("shop.order.taken", "shop.order.paid"))
    assert unregistered.read() == ["shop.order.paid"]
