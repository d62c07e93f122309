"""Sinks that share a log in PostgreSQL and processes of the server are killed in the middle of batches."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import psycopg
import pytest

from assay.exporters.audit import Query, query, verify

from .conftest import PostgreSQLLog, another_place, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.stores("postgresql")]

BATCHES, RECORDS, SINKS, KILLS = 12, 20, 3, 5
DEADLINE = 400  # seconds, for a machine that is slow
# It sends its batches in their order, from the number `first` on; a batch has the
# same records when it is sent again. It prints the number of each batch that was accepted.
SENDER = """
import importlib.util, json, sys, time, uuid
conftest, name, settings, first, batches, records = sys.argv[1:]
spec = importlib.util.spec_from_file_location("tests_conftest", conftest)
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
from assay.exporters.audit import DatabaseError
from assay.host import Retry

def until_done(work):
    for _ in range(2000):
        try:
            return work()
        except (Retry, DatabaseError):
            time.sleep(0.05)
    sys.exit("the database did not come back")

settings = tests.Settings(**json.loads(settings), origin=tests.ORIGIN, checkpoint_records=50)
sink = until_done(lambda: tests.AuditSink(settings))
for number in range(int(first), int(batches)):
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name} {number} {each}")) for each in range(int(records))]
    times = {"time_unix_nano": 10**18, "observed_time_unix_nano": 10**18}
    batch = tests.make_batch(*(tests.make_record(record_id=each, **times) for each in ids))
    until_done(lambda: sink.export(batch))
    print(number, flush=True)
until_done(sink.shutdown)
"""


class Sender:
    """A process with a sink and the batches that it sends to it."""

    def __init__(self, name: str, log: PostgreSQLLog) -> None:
        self.name, self.log = name, log
        self._output = log.with_name("accepted")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def accepted(self) -> int:
        return self._output.read_text().count("\n") if self._output.exists() else 0

    def start(self) -> None:
        import json

        conftest = str(Path(__file__).with_name("conftest.py"))
        arguments = [conftest, self.name, json.dumps(settings_of(self.log))]
        arguments += map(str, (self.accepted, BATCHES, RECORDS))
        with self._output.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, "-c", SENDER, *arguments], stdout=output)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def ids(self) -> Iterator[str]:
        import uuid

        for number in range(BATCHES):
            for each in range(RECORDS):
                yield str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.name} {number} {each}"))


@contextmanager
def senders(database: PostgreSQLLog, tmp_path: Path) -> Iterator[list[Sender]]:
    """Start sinks in folders of their own, each with a copy of the key that the first sink created."""
    found = [
        Sender(f"sink-{number}", another_place(database, tmp_path / f"sink-{number}"))
        for number in range(SINKS)
    ]
    with ExitStack() as stack:
        for sender in found:
            sender.start()
            stack.callback(sender.kill)
        yield found


def kill_a_process_of_the_server(database: PostgreSQLLog, choose: random.Random) -> bool:
    """Kill a server process that serves a sink; the server then ends all others, and recovers."""
    try:
        with closing(psycopg.connect(database.owner, autocommit=True)) as owner:
            sessions = (
                "SELECT pid FROM pg_stat_activity WHERE usename = 'sink' AND datname = current_database()"
            )
            pids = [pid for (pid,) in owner.execute(sessions)]
    except psycopg.OperationalError:  # it still recovers
        return False
    if pids:
        os.kill(choose.choice(pids), signal.SIGKILL)
    return bool(pids)


def test_accepted_records_are_stored_once_whoever_is_killed(open_sink, database, tmp_path, key):
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    choose = random.Random(seed)
    open_sink().shutdown()  # it creates the key
    sinks, servers = 0, 0
    end = time.monotonic() + DEADLINE
    with senders(database, tmp_path) as started:
        enough = 0
        while any(sender.accepted < BATCHES for sender in started):
            assert time.monotonic() < end, f"seed {seed}: {[sender.accepted for sender in started]}"
            for sender in started:
                if sender.process.poll() is not None and sender.accepted < BATCHES:
                    pytest.fail(f"seed {seed}: {sender.name} ended by itself")
            if sum(sender.accepted for sender in started) >= enough and sinks + servers < KILLS:
                enough = sum(sender.accepted for sender in started) + choose.randint(1, 5)
                if choose.random() < 0.6:
                    victim = choose.choice([sender for sender in started if sender.accepted < BATCHES])
                    victim.kill()
                    victim.start()
                    sinks += 1
                else:
                    servers += kill_a_process_of_the_server(database, choose)
            time.sleep(0.01)
        for sender in started:
            assert sender.process.wait(DEADLINE) == 0
    assert sinks + servers, f"seed {seed}"
    stored = [found["id"] for found in query(database, Query())]
    expected = sorted(each for sender in started for each in sender.ids())
    assert len(stored) == SINKS * BATCHES * RECORDS, f"seed {seed}"
    assert sorted(stored) == expected, f"seed {seed}"
    for sender in started:
        found = verify(database, key(), checkpoint=sender.log.with_name("signing.key.checkpoint").read_text())
        assert found.records == found.covered == len(expected)
    print(f"accepted and stored {len(expected)}, sinks killed {sinks}, server crashes {servers}")
