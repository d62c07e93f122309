"""The host with the sink as a process, killed in the middle of batches and restarted without repair."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit import ExportError, OTLPAuditExporter
from assay.exporters.audit import Query, quarantined, query, verify

from .conftest import ORIGIN, make_batch, make_record

PROGRAM = """
import asyncio, sys
from assay.host import Host, load_config

async def main():
    host = Host(load_config(sys.argv[1]))
    await host.start()
    print(*(port for _, port in host.addresses.values()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
CONFIG = """
listeners:
  - {{name: direct, protocol: http, address: "127.0.0.1:0"}}
  - {{name: collector, protocol: http, address: "127.0.0.1:0", peer: collector}}
health: null
exporters: {{audit: {{type: audit, database: {database}, origin: {origin}, checkpoint_records: 50}}}}
"""
OPEN_AND_CLOSE = """
import sqlite3, sys
log = sqlite3.connect(sys.argv[1])
print(log.execute("SELECT count(*) FROM audit_log").fetchone()[0])
log.close()
"""


def id_of(record):
    return next(pair.value.string_value for pair in record.attributes if pair.key == "audit.record.id")


@contextmanager
def running(config: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Start the host; yield it and the URLs of its listeners. Kill it at the end."""
    command = [sys.executable, "-c", PROGRAM, str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            yield process, [f"http://127.0.0.1:{port}/v1/audit" for port in line.split()]
        finally:
            process.kill()


class Sender:
    """Send batches of 20 until the host is gone; repeat the unanswered batch when it is back."""

    def __init__(self) -> None:
        self.acknowledged: list[str] = []
        self.unanswered: list[LogRecord] = []

    def send(self, url: str) -> bool:
        """Send one batch; return whether it was acknowledged."""
        self.unanswered = self.unanswered or [make_record() for _ in range(20)]
        try:
            OTLPAuditExporter(url, retries=0).export(make_batch(*self.unanswered).request)
        except ExportError:
            return False
        self.acknowledged += map(id_of, self.unanswered)
        self.unanswered = []
        return True

    def send_all(self, url: str, enough: threading.Event) -> None:
        before = len(self.acknowledged)
        while self.send(url):
            if len(self.acknowledged) > before + 100:
                enough.set()


@pytest.mark.slow
def test_records_acknowledged_before_a_kill_are_stored_once(tmp_path, database, key):
    config = tmp_path / "host.yaml"
    config.write_text(CONFIG.format(database=database, origin=ORIGIN))
    senders = Sender(), Sender()  # to the listener for direct senders, and to the Collector's
    for _ in range(3):
        with running(config) as (process, urls):
            enough = threading.Event()
            threads = [
                threading.Thread(target=sender.send_all, args=(url, enough))
                for sender, url in zip(senders, urls, strict=True)
            ]
            for thread in threads:
                thread.start()
            assert enough.wait(60)
            process.kill()
            for thread in threads:
                thread.join()
        kept = database.with_name("checkpoint").read_text()
        assert verify(database, key(), checkpoint=kept).quarantined == 0
    with running(config) as (_, urls):
        assert all(sender.send(url) for sender, url in zip(senders, urls, strict=True))
    stored = [found["id"] for found in query(database, Query())]
    assert sorted(stored) == sorted(senders[0].acknowledged + senders[1].acknowledged)
    assert not list(quarantined(database))
    assert verify(database, key()).records == len(stored)


def test_records_survive_a_kill_after_another_program_has_opened_and_closed_the_database(
    tmp_path, database, key
):
    """The last program that closes a database deletes its write-ahead log; locks say which one is the last.

    A process loses its locks on a file when it closes any descriptor of that file, whoever opened it.
    """
    config = tmp_path / "host.yaml"
    config.write_text(CONFIG.format(database=database, origin=ORIGIN))
    sender = Sender()
    with running(config) as (_, urls):
        for _ in range(3):
            assert sender.send(urls[0])
            requests.get(f"{urls[0]}/receipts/{sender.acknowledged[-1]}", timeout=60).raise_for_status()
            command = [sys.executable, "-c", OPEN_AND_CLOSE, str(database)]
            counted = subprocess.run(command, capture_output=True, check=True).stdout
            assert int(counted) == len(sender.acknowledged)
    stored = [found["id"] for found in query(database, Query())]
    assert sorted(stored) == sorted(sender.acknowledged)
    assert verify(database, key()).records == len(stored)
