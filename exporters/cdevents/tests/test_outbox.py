from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assay.exporters.cdevents._clock import now
from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry


def entry(number: int, *, sink: str = "s", subject: str = "x", document: str = "{}", **more) -> OutboxEntry:
    return OutboxEntry(
        sink, f"id-{number}", more.pop("type", "t"), subject, more.pop("chain", ""), document, **more
    )


@pytest.fixture
def outbox(tmp_path):
    box = DeliveryOutbox(tmp_path / "outbox.db")
    yield box
    box.close()


def ids(entries) -> list[str]:
    return [entry.id for entry in entries]


def test_added_entries_are_due_in_order(outbox):
    assert len(outbox.add(entry(n) for n in range(3))) == 3
    assert ids(outbox.due("s", 10)) == ["id-0", "id-1", "id-2"]
    assert ids(outbox.due("s", 2)) == ["id-0", "id-1"]
    assert outbox.due("other", 10) == []


def test_an_event_is_stored_once_for_each_sink(outbox):
    outbox.add([entry(1), entry(1), entry(1, sink="other")])
    assert outbox.add([entry(1)]) == []
    outbox.mark_sent(outbox.due("s", 10))
    assert outbox.add([entry(1)]) == []
    assert outbox.counts() == {("s", "sent"): 1, ("other", "pending"): 1}


def test_a_postponed_entry_delays_its_subject_only_and_keeps_the_order(outbox):
    outbox.add([entry(1, subject="a"), entry(2, subject="b"), entry(3, subject="a")])
    first = outbox.due("s", 1)[0]
    outbox.postpone(first, due=5e9)
    outbox.add([entry(4, subject="a"), entry(5, subject="b")])
    assert ids(outbox.due("s", 10)) == ["id-2", "id-5"]
    assert ids(outbox.due("s", 10, now=5e9)) == ["id-2", "id-5", "id-1", "id-3", "id-4"]
    assert outbox.due("s", 10, now=5e9)[2].attempts == 1


def test_setting_the_clock_back_delays_nothing(outbox):
    outbox.add([entry(1)], now=4e9)
    assert ids(outbox.due("s", 10, now=1e9)) == ["id-1"]


def test_a_dead_letter_keeps_its_document_and_reason(outbox, tmp_path):
    outbox.add([entry(1, document='{"a": 1}'), entry(2, sink="", fault="no subject")])
    outbox.mark_dead(outbox.due("s", 1)[0], "answered 400")
    rows = sqlite3.connect(tmp_path / "outbox.db").execute(
        "SELECT id, reason, document FROM dead_letter ORDER BY seq"
    )
    assert rows.fetchall() == [("id-1", "answered 400", '{"a": 1}'), ("id-2", "no subject", "{}")]
    assert outbox.due("s", 10) == []


def test_delivered_entries_are_deleted_by_age_and_number(outbox):
    outbox.add(entry(n) for n in range(10))
    for found in outbox.due("s", 10)[:8]:
        outbox.mark_sent([found])
    assert outbox.prune("sent", older_than=0, keep=3) == 5
    assert outbox.counts() == {("s", "sent"): 3, ("s", "pending"): 2}
    outbox.prune("sent", older_than=9e9, keep=3)
    assert outbox.counts() == {("s", "pending"): 2}


def test_the_head_of_a_chain_is_its_newest_event_of_the_last_type(outbox):
    assert outbox.head("c", ("queued", "started"), "s") == ""
    outbox.add([entry(1, type="started", chain="c"), entry(2, type="queued", chain="c"), entry(3, chain="c")])
    assert outbox.head("c", ("queued", "started"), "s") == "id-1"
    assert outbox.head("c", ("queued", "started"), "other") == ""
    outbox.mark_dead(outbox.due("s", 1)[0], "refused")
    assert outbox.head("c", ("queued", "started"), "s") == "id-2"
    assert (outbox.has("s", "id-1"), outbox.has("s", "id-2")) == (False, True)


def test_a_full_disk_leaves_nothing_of_the_batch_and_the_outbox_usable(outbox):
    outbox.add([entry(0)])
    [(pages,)] = outbox._db.execute("PRAGMA page_count").fetchall()
    outbox._db.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        outbox.add(entry(n, document="x" * 2000) for n in range(1, 100))
    assert ids(outbox.due("s", 1000)) == ["id-0"]
    outbox._db.execute("PRAGMA max_page_count = 1000000")
    assert len(outbox.add(entry(n, document="x" * 2000) for n in range(1, 100))) == 99


WRITER = """
import sys
import time
from pathlib import Path
from assay.exporters.cdevents._clock import now
from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry
box = DeliveryOutbox(Path(sys.argv[1]))
number = 0
while True:
    box.add([OutboxEntry("s", f"{number}-{part}", "t", "x", "", "{}") for part in range(3)])
    print(number, flush=True)
    number += 1
"""


def test_accepted_entries_survive_a_kill(tmp_path: Path):
    path = tmp_path / "outbox.db"
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        accepted = [int(process.stdout.readline()) for _ in range(50)]
        process.send_signal(signal.SIGKILL)
        accepted += [int(line) for line in process.stdout.read().split()]
    box = DeliveryOutbox(path)
    kept = ids(box.due("s", 1_000_000))
    box.close()
    assert len(kept) % 3 == 0, "a batch is in the outbox whole or not at all"
    assert kept[: len(accepted) * 3] == [f"{number}-{part}" for number in accepted for part in range(3)]


def test_an_outbox_that_cannot_be_opened_leaves_no_file_open(tmp_path):
    path = tmp_path / "outbox.db"
    path.write_text("not a database, and long enough for SQLite to see it" * 20)
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(sqlite3.DatabaseError) as caught:
        DeliveryOutbox(path)
    assert caught.value
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_dead_letters_are_deleted_by_age_and_number(outbox):
    outbox.add(entry(n) for n in range(5))
    for found in outbox.due("s", 4):
        outbox.mark_dead(found, "no")
    assert outbox.prune("dead", older_than=0, keep=3) == 1
    assert outbox.counts() == {("s", "dead"): 3, ("s", "pending"): 1}
    assert outbox.prune("dead", older_than=9e9, keep=3) == 3
    assert outbox.counts() == {("s", "pending"): 1}


def test_revived_dead_letters_are_due_again_and_invalid_events_stay_dead(outbox):
    outbox.add([entry(1), entry(2, sink="other"), entry(3, sink="", fault="no subject")])
    outbox.mark_dead(outbox.due("s", 1)[0], "no")
    outbox.mark_dead(outbox.due("other", 1)[0], "no")
    assert outbox.revive("s") == 1
    assert [(found.id, found.attempts) for found in outbox.due("s", 10)] == [("id-1", 0)]
    assert outbox.revive(None) == 1
    assert outbox.counts() == {("s", "pending"): 1, ("other", "pending"): 1, ("", "dead"): 1}


def test_an_entry_that_an_earlier_clock_postponed_to_tomorrow_is_due_within_a_minute(tmp_path):
    path = tmp_path / "outbox.db"
    box = DeliveryOutbox(path)
    box.add([entry(1), entry(2)])
    box.postpone(box.due("s", 1)[0], due=now() + 86400)  # the clock was a day ahead
    box.close()
    again = DeliveryOutbox(path)
    again.add([entry(3)])
    assert ids(again.due("s", 10, now=now() + 61)) == ["id-1", "id-2", "id-3"]
    again.close()


def test_the_clock_of_deliveries_does_not_step(monkeypatch):
    before = now()
    monkeypatch.setattr(time, "time", lambda: 0.0)
    assert 0 <= now() - before < 60
