from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

from assay.audit import integrity_hash
from assay.exporters.audit import (
    InUseError,
    KeyFormatError,
    OpenError,
    Query,
    _schema,
    _sink,
    quarantined,
    quarantined_payload,
    query,
    verify,
)
from assay.exporters.audit._keys import load_or_create
from assay.host import Batch, Rejected, Retry

from .conftest import rows

pytestmark = pytest.mark.stores("sqlite", "postgresql")


def id_of(record):
    return next(pair.value.string_value for pair in record.attributes if pair.key == "audit.record.id")


def test_a_record_is_stored_in_the_seeds_columns(open_sink, database, record, batch):
    sink = open_sink()
    one = record()
    (receipt,) = sink.export(batch(one)).receipts
    assert receipt["record_id"] == id_of(one)
    assert receipt["integrity_hash"] == integrity_hash(one)
    (found,) = query(database, Query())
    assert found["details"] == {"reason": "looks good", "score": 1.0, "parts": [1, 2**60, None]}
    seeds = {name: found[name] for name in _schema.COLUMNS}
    assert {**seeds, "details": 0, "inserted_at": 0} == {
        "id": id_of(one),
        "event_type": "flowstone.checkpoint.approved",
        "actor_id": "alice@example.com",
        "actor_type": "user",
        "resource_type": "checkpoint",
        "resource_id": "approval-1",
        "action": "APPROVE",
        "details": 0,
        "correlation_id": "run-1",
        "client_ip": "203.0.113.7",
        "user_agent": "curl/8",
        "inserted_at": 0,
    }


@pytest.mark.stores("sqlite")
def test_the_view_has_exactly_the_seeds_columns(log):
    columns = [row[1] for row in rows(log, "PRAGMA table_info(flowstone_audit_log)")]
    assert tuple(columns) == _schema.COLUMNS


def test_the_correlation_id_defaults_to_the_trace_id(open_sink, database, record, batch):
    trace = uuid.uuid4()
    open_sink().export(batch(record(attributes={}, trace_id=trace.bytes)))
    for text in (str(trace), trace.hex):
        assert [found["correlation_id"] for found in query(database, Query(correlation_id=text))] == [
            str(trace)
        ]


def test_a_repeated_record_succeeds_without_a_second_row(open_sink, database, record, batch):
    sink = open_sink()
    one, two = record(), record()
    (first,) = sink.export(batch(one)).receipts
    again = sink.export(batch(one, two, two)).receipts
    assert again[0] == first
    assert rows(database, "SELECT count(*) FROM audit_log") == [(2,)]


def test_a_known_id_with_other_content_is_a_conflict_and_stores_nothing(open_sink, database, record, batch):
    sink = open_sink()
    one = record()
    sink.export(batch(one))
    for records in [
        (record(), record(record_id=id_of(one))),
        [record(record_id=str(uuid.UUID(int=5, version=4)), target_id=t) for t in "ab"],
    ]:
        with pytest.raises(Rejected, match="another record with this id") as caught:
            sink.export(batch(*records))
        assert caught.value.status == 409
    assert rows(database, "SELECT count(*) FROM audit_log") == [(1,)]


def test_one_invalid_record_rejects_a_direct_batch_and_is_named(open_sink, database, record, batch):
    bad = record(actor_type="robot")
    with pytest.raises(Rejected, match=f"{id_of(bad)}.*robot") as caught:
        open_sink().export(batch(record(), bad, record()))
    assert caught.value.status == 400
    assert rows(database, "SELECT count(*) FROM audit_log") == [(0,)]


def test_everything_from_a_collector_is_stored(open_sink, database, record, batch, key):
    sink = open_sink(record_bytes=2048)
    one = record()
    sink.export(batch(one))
    dropped = record()
    dropped.dropped_attributes_count = 1
    bad = [record(actor_type="robot"), record(record_id=id_of(one)), record(body="x" * 4096), dropped]
    good = record()
    for _ in range(2):  # a Collector repeats a batch
        sink.export(batch(good, *bad, peer="collector"))
        sink.export(Batch("audit", None, b"\x00\xff", "json", "collector", time.time_ns(), "no JSON"))
    sink.shutdown()
    entries = list(quarantined(database))
    assert [entry["kind"] for entry in entries] == ["record"] * 4 + ["batch"]
    reasons = ["robot", "bytes long", "dropped", "another record", "no JSON"]
    assert all(reason in entry["reason"] for entry, reason in zip(entries, reasons, strict=True))
    whole = [
        ResourceLogs.FromString(quarantined_payload(database, entry["leaf_index"])) for entry in entries[:4]
    ]
    assert {id_of(part.scope_logs[0].log_records[0]) for part in whole} == {id_of(record_) for record_ in bad}
    assert whole[0].resource.attributes[0].value.string_value == "orders"
    assert quarantined_payload(database, entries[4]["leaf_index"]) == b"\x00\xff"
    found = verify(database, key())
    assert (found.records, found.quarantined) == (2, 5)


def test_a_batch_that_a_defect_keeps_from_being_read_blocks_no_other(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, monkeypatch, caplog
):
    """A defect has to be made: the real reader has none that we know."""
    sink = open_sink()
    unreadable = batch(record(body="secret"), peer="collector")
    with monkeypatch.context() as broken:
        broken.setattr(_sink, "read_batch", lambda *_: {}["secret"])
        for _ in range(2):  # a Collector repeats a batch
            sink.export(unreadable)
    good = record()
    sink.export(batch(good, peer="collector"))
    sink.shutdown()
    (entry,) = quarantined(database)
    assert (entry["kind"], entry["reason"]) == ("batch", "the sink failed to read it: KeyError")
    assert quarantined_payload(database, entry["leaf_index"]) == unreadable.payload
    assert rows(database, "SELECT id FROM audit_log") == [(id_of(good),)]
    assert "secret" not in caplog.text


def test_a_record_that_was_observed_in_the_future_is_invalid(open_sink, database, record, batch):
    sink = open_sink(ahead_seconds=5)
    now = time.time_ns()
    sink.export(batch(record(observed_time_unix_nano=now + 2 * 10**9)))
    ahead = record(observed_time_unix_nano=now + 3600 * 10**9)
    with pytest.raises(Rejected, match="ahead of the sink's clock"):
        sink.export(batch(ahead))
    sink.export(batch(ahead, peer="collector"))
    assert "ahead of the sink's clock" in next(quarantined(database))["reason"]


def test_records_that_the_data_model_allows_are_stored(open_sink, database, record, batch, key):
    ids = [
        "C0FFEE00-0000-4000-8000-000000000000",
        "order-17",
        "x" * 5000,
        "a1b2c3d4-e5f6-7890-abcd-ef1234567890",
    ]
    sink = open_sink()
    sink.export(batch(*(record(record_id=each, actor_id="y" * 3000, source_type="mac") for each in ids)))
    assert [found["id"] for found in query(database, Query())] == ids[::-1]
    assert {sink._log.receipt(each)["record_id"] for each in ids} == set(ids)
    sink.shutdown()
    assert verify(database, key()).records == len(ids)


@pytest.mark.stores("sqlite")
def test_the_log_is_append_only(log):
    connection = sqlite3.connect(log)
    for table in ("audit_log", "quarantine", "nodes", "checkpoints", "meta"):
        column = connection.execute(f"PRAGMA table_info({table})").fetchone()[1]
        for statement in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    connection.close()


@pytest.mark.stores("sqlite")
def test_a_log_has_one_sink(open_sink, database, record, batch):
    first = open_sink()
    with pytest.raises(InUseError, match=str(os.getpid())):
        open_sink()
    first.export(batch(record()))
    first.shutdown()
    open_sink().export(batch(record()))


def test_the_signing_key_is_created_once_and_only_its_owner_may_read_it(open_sink, database, tmp_path):
    open_sink().shutdown()
    path = database.with_name("signing.key")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    open_sink().shutdown()
    assert path.read_bytes() == before
    path.chmod(0o644)
    with pytest.raises(OpenError, match="chmod 600"):
        open_sink()


def test_another_key_or_origin_is_rejected(open_sink, database):
    open_sink().shutdown()
    with pytest.raises(OpenError, match="origin"):
        open_sink(origin="audit.test/other")
    with pytest.raises(OpenError, match=r"other\.key: the log's signing key is missing"):
        open_sink(key=database.with_name("other.key"))
    load_or_create(database.with_name("other.key"))
    with pytest.raises(OpenError, match="verifier_key"):
        open_sink(key=database.with_name("other.key"))
    with pytest.raises(KeyFormatError):
        open_sink(origin="no spaces + plus")


def test_a_log_keeps_its_name_when_the_host_is_renamed(open_sink, key, monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "one")
    open_sink(origin="").shutdown()
    name = key().name
    monkeypatch.setattr("socket.gethostname", lambda: "two")
    open_sink(origin="").shutdown()
    assert key().name == name
    assert name.startswith("one/")


@pytest.mark.stores("sqlite")
def test_two_logs_on_one_host_have_different_names(open_sink, tmp_path):
    names = set()
    for folder in ("a", "b"):
        sink = open_sink(origin="", database=tmp_path / folder / "log.db")
        names.add(sink._log.verifiers.name)
    assert len(names) == 2


@pytest.mark.stores("sqlite")
def test_a_file_that_is_not_a_log_is_rejected(open_sink, database):
    database.parent.mkdir()
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE other (a)")
    connection.commit()
    connection.close()
    with pytest.raises(OpenError, match="other tables"):
        open_sink()
    database.write_bytes(b"no database" * 1000)
    with pytest.raises(OpenError):
        open_sink()


@pytest.mark.stores("sqlite")
def test_a_newer_schema_is_rejected(log, open_sink):
    connection = sqlite3.connect(log)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(OpenError, match="99"):
        open_sink()


def test_checkpoints_are_signed_by_number_and_by_time(open_sink, database, record, batch, key):
    sink = open_sink(checkpoint_records=10, checkpoint_seconds=0.05)
    sink.export(batch(*(record() for _ in range(10))))
    assert database.with_name("checkpoint").read_text().split("\n")[1] == "10"
    sink.export(batch(record()))
    deadline = time.monotonic() + 20
    while database.with_name("checkpoint").read_text().split("\n")[1] != "11":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert verify(database, key()).covered == 11  # while the sink is open


@pytest.mark.stores("sqlite")
def test_a_full_database_asks_for_a_retry_and_stores_nothing(open_sink, database, record, batch, key):
    sink = open_sink()
    sink.export(batch(record()))
    pages = sink._log._connection.execute("PRAGMA page_count").fetchone()[0]
    sink._log._connection.execute(f"PRAGMA max_page_count = {pages + 20}")
    many = [record() for _ in range(500)]
    for peer in ("direct", "collector"):
        with pytest.raises(Retry, match="full"):
            sink.export(batch(*many, peer=peer))
    assert verify(database, key()).records == 1
    sink._log._connection.execute("PRAGMA max_page_count = 1000000")
    sink.export(batch(*many))
    sink.shutdown()
    assert verify(database, key()).records == 501


LIMITED = """
import resource, signal, sys, importlib.util
spec = importlib.util.spec_from_file_location("tests_conftest", sys.argv[2])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
from pathlib import Path
from assay.host import Retry
sink = tests.AuditSink(tests.Settings(database=Path(sys.argv[1]), origin=tests.ORIGIN))
sink.export(tests.make_batch(tests.make_record()))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
batch = tests.make_batch(*(tests.make_record() for _ in range(500)))
try:
    sink.export(batch)
except Retry as error:
    print("retry:", error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
sink.export(batch)
sink.shutdown()
"""


@pytest.mark.stores("sqlite")
def test_a_file_that_cannot_grow_asks_for_a_retry(database, key):
    conftest = str(Path(__file__).with_name("conftest.py"))
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(database), conftest], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("retry:")
    assert verify(database, key()).records == 501


KILLED = """
import sys, importlib.util
spec = importlib.util.spec_from_file_location("tests_conftest", sys.argv[2])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
from pathlib import Path
settings = tests.Settings(database=Path(sys.argv[1]), origin=tests.ORIGIN, checkpoint_records=100)
sink = tests.AuditSink(settings)
while True:
    sink.export(tests.make_batch(*(tests.make_record() for _ in range(40))))
    print("accepted", flush=True)
"""


@pytest.mark.stores("sqlite")
@pytest.mark.slow
def test_kill_9_loses_no_accepted_record(database, key, open_sink, batch, record):
    accepted = 0
    conftest = str(Path(__file__).with_name("conftest.py"))
    for batches in (3, 11, 20):
        child = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(database), conftest], stdout=subprocess.PIPE, text=True
        )
        for _ in range(batches):
            assert child.stdout.readline() == "accepted\n"
        child.kill()
        accepted += batches + child.stdout.read().count("accepted")
        child.wait()
        child.stdout.close()
        stored = verify(database, key(), checkpoint=database.with_name("checkpoint").read_text()).records
        assert stored % 40 == 0
        assert accepted * 40 <= stored  # the last stored batch may not have been acknowledged
        accepted = stored // 40
    open_sink().export(batch(record()))
    assert verify(database, key()).records == accepted * 40 + 1


COUNTED = """
import sys, importlib.util
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
spec = importlib.util.spec_from_file_location("tests_conftest", sys.argv[2])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
from pathlib import Path
sink = tests.AuditSink(tests.Settings(database=Path(sys.argv[1]), origin=tests.ORIGIN))
for resource in reader.get_metrics_data().resource_metrics:
    for scope in resource.scope_metrics:
        for metric in scope.metrics:
            for point in metric.data.data_points:
                print(metric.name, dict(point.attributes), point.value)
sink.shutdown()
"""


@pytest.mark.stores("sqlite")
def test_the_counters_are_exported_as_0_before_the_first_record(database):
    """Prometheus' `increase()` sees the first record only if the series exists before it."""
    conftest = str(Path(__file__).with_name("conftest.py"))
    done = subprocess.run(
        [sys.executable, "-c", COUNTED, str(database), conftest], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    faults = ("after_end", "fork", "gap", "mismatch", "number")
    assert sorted(done.stdout.splitlines()) == [
        *(f"audit.sink.chain_faults {{'fault': '{fault}'}} 0" for fault in faults),
        "audit.sink.deviations {'recommendation': 'audit.action'} 0",
        "audit.sink.deviations {'recommendation': 'audit.record.id'} 0",
        "audit.sink.deviations {'recommendation': 'audit.source.type'} 0",
        "audit.sink.quarantined {'kind': 'batch'} 0",
        "audit.sink.quarantined {'kind': 'record'} 0",
        "audit.sink.records {} 0",
    ]
