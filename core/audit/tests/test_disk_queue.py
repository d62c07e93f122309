"""The queue on disk, as several processes use it, and as they leave it when they are killed."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from assay.audit import AuditReceipt, DiskQueue, Entry, ExportError, QueueError, QueueFullError, RejectedError
from assay.audit.recovery import recover

PROGRAM = """
import sys
from pathlib import Path
from assay.audit import *

class Down:
    def export(self, request):
        raise ExportError("down")
    def shutdown(self): pass

queue = DiskQueue(Path(sys.argv[1]))
provider = AuditProvider(BatchProcessor(Down(), queue))
logger = provider.get_logger("tests")
"""
EMIT = """
for number in range(int(sys.argv[2])):
    record = AuditRecord(event_name="e", action="A", outcome="success")
    print(logger.emit_async(record).accepted.result().record_id, flush=True)
"""
WAIT = """
sys.stdin.read()
"""


def entry(number: int) -> Entry:
    return Entry(AuditReceipt(f"{number:08}-0000-4000-8000-000000000000", "00" * 32), b"")


class Accepting:
    """An exporter that accepts every record."""

    def __init__(self, error=None) -> None:
        self.ids, self.error = [], error

    def export(self, request):
        if self.error:
            raise self.error
        self.ids += [
            pair.value.string_value
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
            for pair in record.attributes
            if pair.key == "audit.record.id"
        ]
        return []

    def shutdown(self) -> None:
        pass


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state" / "queue"


@pytest.fixture
def start(folder):
    """Start a program with the queue; kill it after the test."""
    started = []

    def run(program, *arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + program, str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_other_users_have_no_access(folder):
    with closing(DiskQueue(folder).open()) as store:
        store.append([entry(1)])
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}


def test_missing_parents_are_created_for_their_owner(tmp_path):
    existing = tmp_path / "existing"
    existing.mkdir(mode=0o755)
    DiskQueue(existing / "assay" / "audit-queue" / "endpoint").prepare()
    created = [existing / "assay", existing / "assay" / "audit-queue"]
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in created] == [0o700, 0o700]
    assert stat.S_IMODE(existing.stat().st_mode) == 0o755


def test_a_folder_that_others_may_read_is_refused(folder):
    folder.mkdir(parents=True, mode=0o755)
    with pytest.raises(QueueError, match="0700"):
        DiskQueue(folder).open()


def test_a_folder_that_cannot_be_created_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(QueueError, match="cannot be created"):
        DiskQueue(tmp_path / "file" / "queue").open()


def test_a_file_is_used_again_with_what_is_in_it(folder):
    queue = DiskQueue(folder)
    with closing(queue.open()) as store:
        store.append([entry(1), entry(2)])
        store.mark_sent([entry(1).receipt.record_id], 17.0)
    with closing(queue.open()) as store:
        assert [one.receipt for one in store.waiting(9)] == [entry(2).receipt]
        assert [(one.record_id, one.sent_at, one.attempts) for one in store.sent(9, 0)] == [
            (entry(1).receipt.record_id, 17.0, 1)
        ]
        assert (len(store), store.waiting_count()) == (2, 1)
    assert len(list(folder.glob("*.db"))) == 1


def test_two_queues_in_one_process_have_files_of_their_own(folder):
    with closing(DiskQueue(folder).open()) as one, closing(DiskQueue(folder).open()) as two:
        one.append([entry(1)])
        assert len(two) == 0
        assert list(DiskQueue(folder).abandoned()) == []


def test_the_records_of_a_killed_process_are_abandoned_and_those_of_a_running_one_are_not(folder, start):
    killed, running = start(EMIT + WAIT, "3"), start(EMIT + WAIT, "2")
    ids = [killed.stdout.readline().strip() for _ in range(3)]
    for _ in range(2):
        running.stdout.readline()
    assert recover(DiskQueue(folder), Accepting()).confirmed == 0
    killed.kill()
    killed.wait()
    exporter = Accepting()
    recovered = recover(DiskQueue(folder), exporter)
    assert (recovered.confirmed, recovered.waiting, sorted(exporter.ids)) == (3, 0, sorted(ids))
    assert recover(DiskQueue(folder), exporter).confirmed == 0


def test_a_stopped_process_does_not_stop_others(folder, start):
    stopped = start(EMIT + WAIT, "1")
    stopped.stdout.readline()
    stopped.send_signal(19)  # SIGSTOP
    assert len(start(EMIT, "5").communicate(timeout=60)[0].split()) == 5


def test_a_forked_child_that_ends_leaves_its_parents_file_alone(folder, start):
    program = """
import os
def emit():
    record = AuditRecord(event_name="e", action="A", outcome="success")
    print(logger.emit_async(record).accepted.result().record_id)
emit()
child = os.fork()
emit()
sys.stdout.flush()
if child:
    os.waitpid(child, 0)
    emit()
    sys.stdout.flush()
    os.kill(os.getpid(), 9)
"""
    ids = start(program).communicate(timeout=60)[0].split()
    assert len(set(ids)) == 4
    exporter = Accepting()
    assert recover(DiskQueue(folder), exporter).confirmed == 4
    assert sorted(exporter.ids) == sorted(ids)


def test_a_disk_that_is_full_is_the_callers_error_and_accepted_records_stay(folder, start):
    program = """
import json, os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
accepted, error = [], ""
for _ in range(1000):
    record = AuditRecord(event_name="e", action="A", outcome="success", body="x" * 1000)
    try:
        accepted.append(logger.emit_async(record).accepted.result().record_id)
    except QueueFullError as full:
        error = str(full)
        break
print(json.dumps([accepted, error]), flush=True)
os.kill(os.getpid(), 9)
"""
    accepted, error = json.loads(start(program).communicate(timeout=60)[0])
    assert 10 < len(accepted) < 1000
    assert "was not accepted: make room on the disk" in error
    exporter = Accepting()
    recover(DiskQueue(folder), exporter)
    assert sorted(exporter.ids) == sorted(accepted)


def test_a_damaged_file_is_set_aside_and_reported(folder, caplog):
    queue = DiskQueue(folder)
    with closing(queue.open()) as store:
        store.append([entry(1)])
    (folder / "1.db").write_bytes(b"not a database" * 1000)
    with closing(queue.open()) as store:
        store.append([entry(2)])
        assert len(store) == 1
    assert "is damaged" in caplog.text
    assert len(list(folder.glob("1.damaged-*"))) == 1


def test_a_full_file_refuses_all_records_of_a_transaction(folder):
    with closing(DiskQueue(folder, max_bytes=50_000).open()) as store:
        with pytest.raises(QueueFullError):
            store.append([Entry(entry(number).receipt, b"x" * 1000) for number in range(100)])
        assert len(store) == 0
        store.append([entry(1)])


def test_recovery_reports_rejected_records_and_sends_them_again_on_demand(folder, start):
    process = start(EMIT, "2")
    ids = process.communicate(timeout=60)[0].split()
    rejecting = Accepting(RejectedError("because", 400, is_final=True))
    recovered = recover(DiskQueue(folder), rejecting)
    assert (recovered.confirmed, recovered.waiting) == (0, 0)
    assert sorted(recovered.rejected) == sorted((one, "because") for one in ids)
    assert recover(DiskQueue(folder), Accepting()).confirmed == 0
    assert recover(DiskQueue(folder), Accepting(), retry_rejected=True).confirmed == 2


def test_recovery_reports_why_records_still_wait(folder, start):
    start(EMIT, "2").communicate(timeout=60)
    recovered = recover(DiskQueue(folder), Accepting(ExportError("down")))
    assert (recovered.confirmed, recovered.waiting, str(recovered.error)) == (0, 2, "down")
