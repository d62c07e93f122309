"""The check of a record: requirements of the data model are checked, recommendations are not."""

from __future__ import annotations

import pytest

from assay.audit.canonical import content
from assay.audit.errors import RecordError
from assay.audit.record import AuditRecord, check, deviations, to_log_record

MINIMAL = {
    "event_name": "user.login",
    "action": "LOGIN",
    "outcome": "success",
    "actor_id": "u8472",
    "actor_type": "user",
    "record_id": "6f1c2a30-0000-4000-8000-000000000000",
    "time_unix_nano": 1,
    "observed_time_unix_nano": 1,
}
# The two examples of the data model's section "Example AuditRecords".
LOGIN = {
    "event_name": "user.login.success",
    "time_unix_nano": 1714041600000000000,
    "observed_time_unix_nano": 1714041600001000000,
    "record_id": "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    "target_id": "/api/auth/session",
    "target_type": "http.endpoint",
    "source_id": "203.0.113.42",
    "source_type": "ipv4",
    "schema_version": "1.0.0",
    "attributes": {"session.id": "sess-abc123", "tls.version": "TLSv1.3"},
}
CHANGE = {
    "event_name": "config.change",
    "body": "Authorization denied: missing role 'config-writer'",
    "time_unix_nano": 1714041700000000000,
    "observed_time_unix_nano": 1714041700002000000,
    "record_id": "f7e8d9c0-b1a2-3456-cdef-0987654321ab",
    "actor_id": "svc-deployer",
    "actor_type": "service",
    "action": "UPDATE",
    "outcome": "failure",
    "target_id": "production/app-secrets",
    "target_type": "k8s.configmap",
    "attributes": {"request.id": "req-xyz789", "k8s.namespace": "production"},
}


def of(**change):
    return content(to_log_record(AuditRecord(**{**MINIMAL, **change})))[0]


@pytest.mark.parametrize("example", [LOGIN, CHANGE])
def test_the_examples_of_the_data_model_are_valid(example):
    assert check(of(**example)) == example["record_id"]
    assert deviations(of(**example)) == ["audit.record.id"]  # it recommends version 4


@pytest.mark.parametrize(
    ("change", "deviating"),
    [
        ({}, []),
        ({"record_id": "6F1C2A30-0000-4000-8000-000000000000"}, ["audit.record.id"]),
        ({"record_id": "order-17"}, ["audit.record.id"]),
        ({"action": "signed in"}, ["audit.action"]),
        ({"source_type": "mac", "source_id": "00:00:5e:00:53:af"}, ["audit.source.type"]),
        ({"actor_id": "x" * 5000, "event_name": "x" * 500, "target_id": "x" * 5000}, []),
    ],
)
def test_a_record_that_does_not_follow_a_recommendation_is_valid(change, deviating):
    record = of(**change)
    check(record)
    assert deviations(record) == deviating


@pytest.mark.parametrize(
    "name", ["audit.target.id", "audit.target.type", "audit.source.id", "audit.source.type"]
)
def test_an_optional_attribute_must_be_a_string(name):
    with pytest.raises(RecordError, match=name):
        check(of(attributes={name: 5}))
