import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from uuid import UUID

import pytest
from opentelemetry.instrumentation.flowstone import ApprovalError, FlowstoneInstrumentor, checkpoints

from assay.instrumentation.testing import BusEvents
from assay.semconv import CATALOGUE
from assay.telemetry import AuditNotAcceptedError, correlation
from assay.telemetry.bridge import Defaults, set_defaults


def test_a_request_and_its_approval_name_actor_and_reason(telemetry):
    approval = checkpoints.request("publish", actor="ines", run_id="r-1")
    checkpoints.approve("publish", approval, actor="omar", reason="totals match", run_id="r-1")

    assert UUID(approval).version == 7
    (requested,) = telemetry.events("flowstone.checkpoint.requested")
    assert requested["status"] == "pending"
    assert requested["actor"] == "ines"
    assert requested["correlation_id"] == "r-1"
    (approved,) = telemetry.events("flowstone.checkpoint.approved")
    assert approved["approval_id"] == approval
    assert (approved["status"], approved["actor"], approved["reason"]) == ("approved", "omar", "totals match")
    assert telemetry.counts("flowstone.checkpoint.approval_time", "checkpoint") == {"publish": 1}


def test_a_request_and_its_decision_in_another_process_share_the_correlation_id():
    code = "from opentelemetry.instrumentation.flowstone import checkpoints as c; print(c.request('publish'))"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    approval = asked.stdout.strip()
    with BusEvents("flowstone.checkpoint.*") as emitted:
        checkpoints.request("publish", approval)
        with correlation("of-the-request-to-the-web-server"):
            checkpoints.approve("publish", approval)

    assert [event.metadata["correlation_id"] for event in emitted] == [approval, approval]


@pytest.mark.parametrize(
    ("decide", "status"), [(checkpoints.reject, "rejected"), (checkpoints.timeout, "timeout")]
)
def test_every_decision_is_measured(telemetry, decide, status):
    decide("publish", checkpoints.request("publish"))

    (measured,) = telemetry.measured(f"flowstone.checkpoint.{status}")
    assert 0 <= measured["approval_time"] < 60e9


def test_the_time_is_measured_from_another_process():
    code = "from opentelemetry.instrumentation.flowstone import checkpoints as c; print(c.request('publish'))"
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with BusEvents("flowstone.checkpoint.approved") as emitted:
        checkpoints.approve("publish", asked.stdout.strip())

    assert 0 <= emitted[0].measurements["approval_time"] < 600e9


def test_an_id_of_ones_own_is_measured_in_the_process_that_asked(telemetry):
    checkpoints.request("publish", "CHANGE-17")
    checkpoints.approve("publish", "CHANGE-17")
    checkpoints.approve("publish", "CHANGE-18")

    first, second = telemetry.measured("flowstone.checkpoint.approved")
    assert first["approval_time"] >= 0
    assert "approval_time" not in second


def test_a_given_request_time_is_used(telemetry):
    asked = datetime.now(timezone.utc) - timedelta(hours=2)
    checkpoints.approve("publish", "CHANGE-19", requested_at=asked)

    (measured,) = telemetry.measured("flowstone.checkpoint.approved")
    assert measured["approval_time"] / 1e9 == pytest.approx(7200, abs=60)


@pytest.mark.parametrize(
    "approval",
    [
        "62e0f8b4-6d65-4a02-9d37-fa2132570255",  # version 4 has no time
        "no uuid",
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
    ],
)
def test_an_id_without_a_past_time_is_not_measured(telemetry, approval):
    checkpoints.approve("publish", approval)

    assert telemetry.measured("flowstone.checkpoint.approved") == [{}]
    assert telemetry.counts("flowstone.checkpoint.approved.count", "checkpoint") == {"publish": 1}


def test_arguments_that_make_no_record_raise():
    with pytest.raises(ApprovalError, match="checkpoint is empty"):
        checkpoints.request("")
    with pytest.raises(ApprovalError, match="approval_id is empty"):
        checkpoints.approve("publish", "")
    with pytest.raises(ApprovalError, match="no time zone"):
        checkpoints.approve("publish", "x", requested_at=datetime(2026, 1, 1))  # noqa: DTZ001 - the mistake


def test_approvals_travel_as_json():
    assert json.loads(json.dumps(checkpoints.request("publish")))


class Trail:
    """An audit trail that accepts records, or loses them."""

    def __init__(self):
        self.records = []
        self.is_lost = False

    def __call__(self, event_name, attributes, body, *, time_unix_nano):
        if self.is_lost:
            raise ConnectionError("the audit endpoint is away")
        self.records.append(event_name)


@pytest.fixture
def trail():
    """Return the audit trail that FlowStone's events are written to."""
    found = Trail()
    set_defaults(Defaults(CATALOGUE, found, records=True))
    FlowstoneInstrumentor().instrument()
    yield found
    FlowstoneInstrumentor().uninstrument()
    set_defaults(None)


DECISIONS = [checkpoints.approve, checkpoints.reject, checkpoints.timeout]


@pytest.mark.parametrize("decide", DECISIONS)
def test_a_lost_record_raises_only_if_asked_for(trail, decide):
    approval = checkpoints.request("publish", fail_closed=True)
    trail.is_lost = True
    decide("publish", approval)
    with pytest.raises(AuditNotAcceptedError):
        decide("publish", approval, fail_closed=True)
    with pytest.raises(AuditNotAcceptedError):
        checkpoints.request("publish", fail_closed=True)
    trail.is_lost = False
    decide("publish", approval, fail_closed=True)

    assert len(trail.records) == 2


def test_without_an_audit_trail_fail_closed_raises(telemetry):
    with pytest.raises(AuditNotAcceptedError):
        checkpoints.approve("publish", "CHANGE-20", fail_closed=True)
