"""A log in PostgreSQL is verified while sinks write to it: one state of the log, and constant memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from assay.exporters.audit import PostgreSQL, _verify_entries, _verify_ranges, verify

pytestmark = pytest.mark.stores("postgresql")

SMALL, LARGE, BATCH = 1_000, 16_000, 1_000
LEAF_BYTES = 1_500  # at least, of the large log
GROWTH = 16 << 20
# It prints the number of records and the highest resident memory of its processes in bytes.
MEASURE = """
import json, resource, sys
from pathlib import Path
from assay.exporters.audit import PostgreSQL, load_verifier, verify

uri, password, key = sys.argv[1:]
found = verify(PostgreSQL(uri, Path(password)), load_verifier(Path(key)))
processes = resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN
print(json.dumps([found.records, 1024 * max(resource.getrusage(each).ru_maxrss for each in processes)]))
"""


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_verification_sees_one_state_while_sinks_write(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, jobs, monkeypatch
):
    monkeypatch.setattr(_verify_ranges, "RANGE", 16)
    monkeypatch.setattr(_verify_entries, "ENTRIES_PER_PROCESS", 50)
    sink = open_sink(checkpoint_records=1)
    sink.export(batch(*(record() for _ in range(160))))
    states = []

    def write(done, total):
        states.append((done, total))
        sink.export(batch(record(), record(record_id="q", actor_type="robot"), peer="collector"))

    address = PostgreSQL(database.uri, database.password_file)
    found = verify(address, key(), progress=write, jobs=jobs)
    assert (found.records, found.quarantined, found.covered, found.checkpoints) == (160, 0, 160, 2)
    assert [done for done, _ in states[:10]] == list(range(16, 161, 16))
    assert {total for _, total in states} == {160}
    after = verify(address, key())
    assert (after.records, after.quarantined) == (160 + len(states), len(states))


@pytest.mark.slow
def test_the_memory_of_a_verification_does_not_grow_with_the_log(open_sink, database, record, batch, key):
    sink = open_sink()

    def peak(records):
        while sink._log.size < records:
            sink.export(batch(*(record(body="x" * LEAF_BYTES) for _ in range(BATCH))))
        sink._log.checkpoint()
        arguments = [database.uri, str(database.password_file), str(database.with_name("verifier.key"))]
        command = [sys.executable, "-c", MEASURE, *arguments]
        verified, used = json.loads(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
        assert verified == records
        return used

    before = peak(SMALL)
    assert peak(LARGE) < before + GROWTH < before + (LARGE - SMALL) * LEAF_BYTES
