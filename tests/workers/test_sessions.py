"""Sessions are audit records in a log that verifies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "projects/sessions.py"

pytestmark = pytest.mark.slow


def test_each_session_is_in_the_audit_log(far_end, assay):
    far_end.run(PROGRAM)
    database = str(far_end.folder.database)
    listed = assay("audit", "query", "--db", database, "--format", "jsonl")
    assert listed.returncode == 0, listed.stderr
    records = [json.loads(line) for line in listed.stdout.splitlines()]
    found = [(each["event_type"], each["action"], each["resource_id"]) for each in reversed(records)]
    assert found == [
        (f"snakepit.session.{event}", action, f"sess-{number}")
        for number in range(3)
        for event, action in (
            ("created", "CREATE"),
            ("affinity.assigned", "ASSIGN"),
            ("affinity.broken", "UNASSIGN"),
            ("destroyed", "DELETE"),
        )
    ]
    created = {each["correlation_id"] for each in records if each["action"] == "CREATE"}
    assert created == {"order-0", "order-1", "order-2"}
    verified = assay("audit", "verify", "--db", database, "--key", str(far_end.folder.verifier_key))
    assert verified.returncode == 0, verified.stderr
