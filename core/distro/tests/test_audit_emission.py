"""Audit records of real programs, on event loops and outside, accepted by the endpoint and not."""

from __future__ import annotations

import socket
from collections import Counter
from contextlib import closing

import pytest
from google.rpc.status_pb2 import Status

pytestmark = pytest.mark.slow

APPROVE = """
from assay.telemetry import attach, execute, fail_closed

def approve(number=1):
    execute("flowstone.checkpoint.approved", {"approval_time": 10**9},
            {"approval_id": f"a{number}", "checkpoint": "c", "status": "approved", "reason": "fine"})

def failed(event, measurements, metadata, config):
    print("failure", metadata["event_name"], metadata["kind"])

attach("failures", "telemetry.handler.failure", failed)
"""

ON_A_LOOP = (
    APPROVE
    + """
import asyncio
from assay.audit import actor

async def main():
    with actor(id="alice", type="user"):
        for number in range(3):
            approve(number)
    print("the loop is free")

asyncio.run(main())
"""
)


@pytest.fixture
def silent_endpoint():
    """An endpoint that accepts connections and never responds."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=64)) as silent:
        yield f"http://127.0.0.1:{silent.getsockname()[1]}/v1/audit"


def test_records_of_an_event_loop_arrive(instrumented, receiver):
    done = instrumented(ON_A_LOOP)
    assert done.stdout == "the loop is free\n", done.stderr
    targets = Counter(
        pair.value.string_value
        for record in receiver.logs("/v1/audit")
        for pair in record.attributes
        if pair.key in {"audit.target.id", "audit.actor.id"}
    )
    assert targets == {"a0": 1, "a1": 1, "a2": 1, "alice": 3}
    assert receiver.totals("audit.") == {
        "audit.records.emitted": 3,
        "audit.records.exported": 3,
        "audit.records.dropped": 0,
        "audit.queue.depth": 0,
    }


def test_records_that_are_on_disk_at_the_exit_are_sent_by_the_next_process(instrumented, receiver):
    receiver.answers["/v1/audit"] = (503, {"Content-Type": "text/plain"}, b"because")
    done = instrumented(ON_A_LOOP + "\napprove(4)")
    assert done.stdout == "the loop is free\n"
    (line,) = done.stderr.splitlines()
    assert "audit records wait in " in line
    assert "because" in line
    assert "`assay audit flush`" in line
    assert receiver.totals("audit.") == {
        "audit.records.emitted": 4,
        "audit.records.exported": 0,
        "audit.records.dropped": 0,
        "audit.queue.depth": 4,
    }
    receiver.answers.clear()
    receiver.requests.clear()
    assert instrumented(APPROVE + "approve(5)").stdout == ""
    targets = [
        pair.value.string_value
        for record in receiver.logs("/v1/audit")
        for pair in record.attributes
        if pair.key == "audit.target.id"
    ]
    assert sorted(targets) == ["a0", "a1", "a2", "a4", "a5"]


def test_a_folder_that_cannot_be_used_is_reported_and_the_endpoint_accepts_records_instead(
    instrumented, receiver, tmp_path
):
    (tmp_path / "file").touch()
    env = {"ASSAY_AUDIT_QUEUE_DIRECTORY": str(tmp_path / "file" / "queue")}
    done = instrumented(APPROVE + "approve()", env=env)
    assert "audit records are not kept on disk" in done.stderr
    assert len(receiver.logs("/v1/audit")) == 1


def test_an_endpoint_that_does_not_respond_does_not_block_an_event_loop(
    instrumented, receiver, silent_endpoint
):
    env = {
        "ASSAY_AUDIT_QUEUE": "memory",
        "ASSAY_AUDIT_ENDPOINT": silent_endpoint,
        "ASSAY_AUDIT_TIMEOUT": "600",  # a loop that waited would not end in this test's time
        "ASSAY_EXIT_TIMEOUT": "1",
    }
    done = instrumented(ON_A_LOOP, env=env)
    assert done.returncode == 0
    first, *failures = done.stdout.splitlines()
    assert first == "the loop is free"
    assert failures == ["failure flowstone.checkpoint.approved ExportError"] * 3
    assert done.stderr.count("was not accepted:") == 1
    assert "the process ended before the endpoint accepted the record (1 lost so far" in done.stderr
    assert receiver.totals("audit.") == {
        "audit.records.emitted": 3,
        "audit.records.exported": 0,
        "audit.records.dropped": 3,
        "audit.queue.depth": 0,
    }


@pytest.mark.parametrize("queue", ["disk", "memory"])
def test_a_lost_record_is_counted_once_and_reported_as_a_handler_failure(instrumented, receiver, queue):
    receiver.answers["/v1/audit"] = (400, {"Content-Type": "text/plain"}, b"because")
    done = instrumented(APPROVE + "approve()\nprint('done')", env={"ASSAY_AUDIT_QUEUE": queue})
    assert sorted(done.stdout.splitlines()) == [
        "done",
        "failure flowstone.checkpoint.approved RejectedError",
    ]
    assert done.stderr.count("because") == 1, done.stderr
    dropped = [metric for metric in receiver.metrics() if metric.name == "audit.records.dropped"]
    assert {len(metric.sum.data_points) for metric in dropped} == {1}
    assert receiver.totals("audit.records.dropped") == {"audit.records.dropped": 1}


def test_settings_that_forbid_sending_count_and_report_each_record(instrumented, receiver):
    done = instrumented(
        APPROVE + "approve()", env={"ASSAY_AUDIT_ENDPOINT": "http://me:hunter2@audit.test/?key=hunter2"}
    )
    assert done.stdout == "failure flowstone.checkpoint.approved ConfigurationError\n"
    assert "use https" in done.stderr
    assert "hunter2" not in done.stderr
    assert receiver.totals("audit.records.dropped") == {"audit.records.dropped": 1}


def test_the_counters_exist_with_0_in_a_program_without_audit_records(instrumented, receiver):
    instrumented("from opentelemetry.metrics import get_meter_provider; get_meter_provider().force_flush()")
    assert receiver.totals("audit.") == {
        "audit.records.emitted": 0,
        "audit.records.exported": 0,
        "audit.records.dropped": 0,
        "audit.queue.depth": 0,
    }


def test_a_program_that_ends_at_once_exports_no_zeros(instrumented, receiver):
    instrumented("pass")
    assert receiver.totals("") == {}
    assert receiver.requests == []


def test_the_message_of_a_401_is_decoded_and_the_remedy_is_the_token(instrumented, receiver):
    status = Status(code=16, message="the bearer token is not one of this listener's")
    receiver.answers["/v1/audit"] = (401, {}, status.SerializeToString())
    done = instrumented(APPROVE + "approve()")
    (line,) = [line for line in done.stderr.splitlines() if "audit record" in line]
    assert "401 Unauthorized: the bearer token is not one of this listener's." in line
    assert "Set ASSAY_AUDIT_TOKEN" in line
    assert "Collector" not in line


FAIL_CLOSED = (
    APPROVE
    + """
import asyncio
from assay.telemetry import AuditNotAcceptedError

async def main():
    try:
        with fail_closed():
            approve()
    except AuditNotAcceptedError as error:
        print("not accepted:", "because" in str(error))
    else:
        print("accepted")

asyncio.run(main())
"""
)


@pytest.mark.parametrize("queue", ["disk", "memory"])
def test_fail_closed_waits_for_the_acceptance_on_an_event_loop_too(instrumented, receiver, queue):
    assert instrumented(FAIL_CLOSED, env={"ASSAY_AUDIT_QUEUE": queue}).stdout == "accepted\n"
    assert len(receiver.logs("/v1/audit")) == 1


def test_fail_closed_raises_when_the_record_is_not_accepted(instrumented, receiver):
    receiver.answers["/v1/audit"] = (400, {"Content-Type": "text/plain"}, b"because")
    done = instrumented(FAIL_CLOSED, env={"ASSAY_AUDIT_QUEUE": "memory"})
    assert done.stdout == "failure flowstone.checkpoint.approved RejectedError\nnot accepted: True\n", (
        done.stderr
    )


OWN_RECORDS = """
import os
from assay.audit import audited

@audited("document.delete", action="DELETE", target=lambda document: document, fail_closed=True)
def delete(document):
    print("deleted", document)

delete("invoice-1")
if not os.fork():
    delete("invoice-2")
    raise SystemExit
os.wait()
"""


@pytest.mark.parametrize("queue", ["disk", "memory"])
def test_an_application_emits_records_of_its_own_without_a_provider_of_its_own(instrumented, receiver, queue):
    done = instrumented(OWN_RECORDS, env={"ASSAY_AUDIT_QUEUE": queue})
    assert sorted(done.stdout.splitlines()) == ["deleted invoice-1", "deleted invoice-2"], done.stderr
    targets = [
        pair.value.string_value
        for record in receiver.logs("/v1/audit")
        for pair in record.attributes
        if pair.key == "audit.target.id"
    ]
    assert sorted(targets) == ["invoice-1", "invoice-2"]
    services = {
        pair.value.string_value
        for request in receiver.of("/v1/audit")
        for resource in request.resource_logs
        for pair in resource.resource.attributes
        if pair.key == "service.instance.id"
    }
    assert len(services) == 2


def test_an_endpoint_that_must_not_be_used_stops_an_application_that_fails_closed(instrumented):
    done = instrumented(OWN_RECORDS, env={"ASSAY_AUDIT_ENDPOINT": "http://audit.test/v1/audit"})
    assert done.returncode == 1
    assert "deleted" not in done.stdout
    assert "ConfigurationError: " in done.stderr
    assert "https" in done.stderr
