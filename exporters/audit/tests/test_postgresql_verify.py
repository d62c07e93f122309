"""A log in PostgreSQL is verified while sinks write to it: one state of the log, and constant memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from assay.exporters.audit import _verify, verify

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


def test_a_verification_sees_one_state_while_sinks_write(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, monkeypatch
):
    monkeypatch.setattr(_verify, "_PROGRESS_EVERY", 16)
    sink = open_sink(checkpoint_records=1)
    sink.export(batch(*(record() for _ in range(100))))
    states = []

    def write(done, total):
        states.append((done, total))
        sink.export(batch(record(), record(record_id="\0", actor_type="robot"), peer="collector"))

    found = verify(database, key(), progress=write)
    assert (found.records, found.quarantined, found.covered, found.checkpoints) == (100, 0, 100, 2)
    assert states == [*((done, 100) for done in range(16, 100, 16)), (100, 100)]
    assert verify(database, key()).records == 100 + len(states)


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
