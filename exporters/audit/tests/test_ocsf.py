"""The required attributes of OCSF's API Activity, for records with and without each part."""

from __future__ import annotations

import pytest

from assay.exporters.audit import Query, ocsf_event, query

REQUIRED = {
    *("activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint"),
    *("time", "type_uid"),
}


@pytest.fixture
def event(open_sink, database, record, batch):
    sink = open_sink()

    def store(**change):
        sink.export(batch(record(**change)))
        return ocsf_event(next(query(database, Query())))

    return store


def test_a_record_becomes_an_event(event):
    found = event(action="CREATE", outcome="failure", time_unix_nano=1_700_000_000_123_456_789)
    assert found.keys() >= REQUIRED
    assert (found["type_uid"], found["status_id"], found["time"]) == (600301, 2, 1_700_000_000_123)
    assert found["src_endpoint"] == {"ip": "203.0.113.7"}
    assert found["resources"] == [{"uid": "approval-1", "type": "checkpoint"}]
    assert found["api"] == {"operation": "CREATE", "service": {"name": "orders"}}
    assert found["metadata"]["correlation_uid"] == "run-1"
    assert found["http_request"] == {"user_agent": "curl/8"}
    assert found["unmapped"]["details"]["reason"] == "looks good"


@pytest.mark.parametrize(
    ("change", "part", "expected"),
    [
        ({"action": "write"}, "activity_id", 3),
        ({"outcome": "unknown"}, "status_id", 0),
        (
            {"actor_type": "service"},
            "actor",
            {"user": {"uid": "alice@example.com", "type_id": 99, "type": "service"}},
        ),
        ({"source_type": "hostname", "source_id": "till-7"}, "src_endpoint", {"hostname": "till-7"}),
        ({"source_type": "mac", "source_id": "00:00:5e"}, "src_endpoint", {"name": "00:00:5e"}),
        ({"source_type": "", "source_id": ""}, "src_endpoint", {"svc_name": "orders"}),
    ],
)
def test_each_part_is_mapped(event, change, part, expected):
    found = event(**change)
    assert found.keys() >= REQUIRED
    assert found[part] == expected
