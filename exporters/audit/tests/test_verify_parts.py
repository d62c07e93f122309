"""A log is verified in parts and by several processes, with the result of one pass over its entries."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assay.exporters.audit import (
    OpenError,
    PostgreSQL,
    VerificationError,
    _sequence,
    _verify_entries,
    _verify_processes,
    _verify_ranges,
    load_verifier,
    verify,
)
from assay.exporters.audit._sequence import WAITING, Chains, Links, Run
from assay.exporters.audit._verify_archives import ArchiveChecker

from .conftest import change, make_batch, make_record, other_value, rows
from .in_parts import outcome
from .test_chains import chained

LENGTHS = (16, 64, 1 << 12)
ENTRIES = 600  # three complete nodes of level 8


def fill(sink):
    """Store records of two chains and of none, and quarantine entries, over many checkpoints."""
    links = iter(chained(make_record, ENTRIES))
    for _ in range(0, ENTRIES - 10, 10):
        batch = [next(links) for _ in range(3)] + [make_record() for _ in range(6)]
        sink.export(make_batch(*batch, make_record(actor_type="robot"), peer="collector"))
    sink.export(make_batch(*(make_record() for _ in range(10))))
    sink.shutdown()


@pytest.fixture
def long_log(open_sink, database):
    """A closed log of 600 entries, a tenth of them in quarantine."""
    fill(open_sink(checkpoint_records=7))
    return database


@pytest.fixture
def short_parts(monkeypatch):
    """Parts of 16 leaves, and a process for each 100 entries."""
    monkeypatch.setattr(_verify_ranges, "RANGE", 16)
    monkeypatch.setattr(_verify_entries, "ENTRIES_PER_PROCESS", 100)


def places(entries):
    return st.integers(0, entries - 1)


COLUMNS = ["id", "actor_id", "details", "integrity_hash", "leaf", "leaf_hash", "inserted_at"]
TAMPERINGS = st.one_of(
    st.tuples(st.just("column"), places(ENTRIES), st.sampled_from(COLUMNS)),
    st.tuples(st.just("delete"), places(ENTRIES)),
    st.tuples(st.just("double"), places(ENTRIES)),
    st.tuples(st.just("swap"), places(ENTRIES), places(ENTRIES)),
    st.tuples(st.just("move"), places(ENTRIES), st.integers(ENTRIES, 5000)),
    st.tuples(st.just("node"), st.sampled_from([4, 8]), places(37)),
    st.tuples(st.just("checkpoint"), places(60)),
    st.tuples(st.just("remove checkpoint"), places(60)),
    st.tuples(st.just("quarantine"), places(59)),
    st.tuples(st.just("index"), places(ENTRIES)),
    st.tuples(st.just("tail"), places(ENTRIES)),
)

DOUBLE = """INSERT OR IGNORE INTO quarantine
    SELECT {0}, CAST(printf('%032d', {0}) AS BLOB), kind, record_id, reason, encoding, payload, inserted_at,
           sink_time_unix_nano, leaf, leaf_hash FROM quarantine LIMIT 1"""  # with another entry's leaf index
CHECKPOINT = "(SELECT size FROM checkpoints LIMIT 1 OFFSET {})"


def statements(database, kind, *values):
    """Return the statements of a tampering; some change nothing, as where a row is in another table."""
    if kind == "column":
        place, column = values
        found = rows(database, f"SELECT {column} FROM audit_log WHERE leaf_index = {place}")
        update = f"UPDATE audit_log SET {column} = ? WHERE leaf_index = ?"
        return [(update, (other_value(old), place)) for (old,) in found]
    if kind == "swap":
        pairs = [(values[0], -1), (values[1], values[0]), (-1, values[1])]
        return [
            f"UPDATE OR IGNORE audit_log SET leaf_index = {to} WHERE leaf_index = {of}" for of, to in pairs
        ]
    simple = {
        "delete": ["DELETE FROM audit_log WHERE leaf_index = {}"],
        "double": [DOUBLE],
        "move": ["UPDATE OR IGNORE audit_log SET leaf_index = {1} WHERE leaf_index = {0}"],
        "node": ["UPDATE nodes SET hash = zeroblob(32) WHERE level = {} AND node_index = {}"],
        "checkpoint": [f"UPDATE checkpoints SET note = note || 'x' WHERE size = {CHECKPOINT}"],
        "remove checkpoint": [f"DELETE FROM checkpoints WHERE size = {CHECKPOINT}"],
        "quarantine": ["UPDATE quarantine SET reason = 'x' WHERE leaf_index = {} * 10 + 9"],
        "index": ["UPDATE recent_ids SET leaf_index = 9999 WHERE leaf_index = {}"],
        "tail": [
            "DELETE FROM audit_log WHERE leaf_index >= {}",
            "DELETE FROM quarantine WHERE leaf_index >= {}",
        ],
    }
    return [each.format(*values) for each in simple[kind]]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    from assay.exporters.audit import AuditSink, Settings

    database = tmp_path_factory.mktemp("template") / "log.db"
    fill(AuditSink(Settings(database=str(database), origin="audit.test/parts", checkpoint_records=7)))
    return database


@settings(max_examples=30)
@example([])
@example([("double", 15), ("double", 63)])  # the last leaf of a part
@example([("double", ENTRIES - 1)])
@example([("node", 8, 0), ("column", 255, "actor_id")])
@example([("node", 8, 1), ("remove checkpoint", 60)])
@given(st.lists(TAMPERINGS, max_size=3))
def test_the_length_of_parts_has_no_influence_on_the_findings(template, tamperings):
    key = load_verifier(template.with_name("verifier.key"))
    kept = template.with_name("checkpoint").read_text()
    with tempfile.TemporaryDirectory() as folder:
        database = Path(shutil.copy(template, folder))
        for each in tamperings:
            change(database, *statements(database, *each))
        one, *others = [outcome(database, key, length=length, checkpoint=kept) for length in LENGTHS]
    assert others == [one, one]


LINKS = st.lists(st.tuples(st.sampled_from("ab"), st.integers(-1, 12), st.integers(0, 20)), max_size=40)


def link(stream, number, fault):
    """Return a record of a stream; few have a wrong link or end the stream."""
    attributes = {
        "audit.record.id": f"{stream}{number}",
        "audit.sequence.stream_id": stream,
        "audit.sequence.number": number,
        "audit.sequence.previous_hash": digest(stream, number - 1 if fault else 5).hex()
        if number > 1
        else None,
        "audit.sequence.end": True if fault == 1 else None,
    }
    wrapped = {
        key: {"intValue" if type(value) is int else "boolValue" if value is True else "stringValue": value}
        for key, value in attributes.items()
        if value is not None
    }
    return {"attributes": wrapped}, {"attributes": {}}, digest(stream, number)


def digest(stream, number):
    return hashlib.sha256(f"{stream}{number}".encode()).digest()


@given(LINKS.map(sorted) | LINKS, st.integers(1, 10), st.sampled_from([3, WAITING]))
def test_chains_have_the_same_faults_when_their_links_come_in_parts(links, length, waiting):
    records = [link(*each) for each in links]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_sequence, "WAITING", waiting)
        single, parted = Chains(), Chains()
        for each in records:
            single.add(*each)
        for first in range(0, len(records), length):
            part = Links()
            for each in records[first : first + length]:
                part.add(*each)
            if not parted.extend(part.streams()):
                for each in records[first : first + length]:
                    parted.add(*each)
        assert parted.faults() == single.faults()


def test_a_sound_chain_is_a_run_for_each_part_of_it():
    part = Links()
    for number in range(1, 6):
        part.add(*link("a", number, 2))
    (run,) = part.streams()
    assert isinstance(run, Run)
    assert (run.first.number, run.last.number) == (1, 5)
    assert Chains().extend([run])


@pytest.mark.slow
@pytest.mark.stores("sqlite", "postgresql")
@pytest.mark.usefixtures("short_parts")
def test_the_number_of_processes_has_no_influence_on_the_findings(long_log, key):
    database = long_log if isinstance(long_log, Path) else PostgreSQL(long_log.uri, long_log.password_file)
    options = {"length": 16, "checkpoint": long_log.with_name("checkpoint").read_text()}
    one, *others = [outcome(database, key(), jobs=jobs, **options) for jobs in (1, 2, 3)]
    assert others == [one, one]
    assert (one.records + one.quarantined, one.chains) == (ENTRIES, ())
    for tampering, reason in (
        ("UPDATE audit_log SET actor_id = 'mallory' WHERE leaf_index = 588", "leaf 588.*mallory"),
        ("UPDATE nodes SET hash = zeroblob(32) WHERE level = 8 AND node_index = 1", "leaves 256 to 511"),
    ):
        change(long_log, tampering)
        error = outcome(database, key(), **options)
        assert error == outcome(database, key(), jobs=2, **options)
        assert re.search(reason, error[1])


@pytest.mark.slow
def test_a_verification_continues_in_several_processes(short_parts, long_log, key):
    notes = dict(rows(long_log, "SELECT size, note FROM checkpoints"))
    options = {"since": notes[50], "checkpoint": notes[max(notes)]}
    seen = []
    found = verify(
        long_log, key(), jobs=2, progress=lambda done, total: seen.append((done, total)), **options
    )
    assert found == verify(long_log, key(), **options)
    assert found.first == 50
    assert seen == sorted(seen)
    assert seen[-1] == (ENTRIES, ENTRIES)
    assert found == verify(long_log, key(), **options)


@pytest.mark.slow
@pytest.mark.usefixtures("short_parts")
def test_a_process_that_dies_is_no_success(long_log, key, monkeypatch):
    started = _verify_processes._Child.__init__

    def kill(self, *arguments):
        started(self, *arguments)
        os.kill(self._process.pid, signal.SIGKILL)

    monkeypatch.setattr(_verify_processes._Child, "__init__", kill)
    with pytest.raises(OpenError, match=r"exit status -9.*--jobs 1") as raised:
        verify(long_log, key(), jobs=2)
    assert not isinstance(raised.value, VerificationError)
    assert multiprocessing.active_children() == []


@pytest.mark.slow
@pytest.mark.usefixtures("short_parts")
def test_a_process_that_cannot_read_the_log_is_no_success(long_log, key, monkeypatch):
    """The other process sees that entries were archived after this one had started."""
    monkeypatch.setattr(ArchiveChecker, "end", 7)
    with pytest.raises(OpenError, match="moved to an archive"):
        verify(long_log, key(), jobs=2)


INTERRUPTED = """
import signal
import sys
from pathlib import Path
from assay.exporters.audit import _verify_entries, _verify_ranges, load_verifier, verify

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    database = Path(sys.argv[1])
    _verify_ranges.RANGE, _verify_entries.ENTRIES_PER_PROCESS = 16, 100

    def forever(done, total):
        print("verifying", flush=True)
        sys.stdin.read()

    verify(database, load_verifier(database.with_name("verifier.key")), jobs=3, progress=forever)
"""


@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_all_processes_end_with_the_verification(long_log, tmp_path, ending):
    """As Ctrl-C does, the first signal reaches all processes of the group."""
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), str(long_log)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        assert process.stdout.readline() == b"verifying\n"
        if ending == signal.SIGINT:
            os.killpg(process.pid, ending)
        else:
            process.kill()
        # All of them have the end of these pipes, so they are closed when the last one ended.
        _, errors = process.communicate(timeout=60)
    assert errors.count(b"Traceback") == (ending == signal.SIGINT)
