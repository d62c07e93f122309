"""The chain of a logger's records: numbered, linked, ended once."""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from assay.audit import (
    AuditProvider,
    AuditRecord,
    BatchProcessor,
    DiskQueue,
    QueueFullError,
    RecordError,
    SimpleProcessor,
    integrity_hash,
)
from assay.audit.canonical import content, unwrap

LOGIN = AuditRecord(event_name="user.login", action="LOGIN", outcome="success")


class Kept:
    def __init__(self) -> None:
        self.records = []

    def export(self, request):
        self.records += [
            record
            for part in request.resource_logs
            for scope in part.scope_logs
            for record in scope.log_records
        ]
        return []

    def shutdown(self):
        pass

    def links(self):
        """Return the sequence attributes of the records by their number, and the records' hashes."""
        found = []
        for record in self.records:
            attributes = {key: unwrap(value) for key, value in content(record)[0]["attributes"].items()}
            link = {key[15:]: value for key, value in attributes.items() if key.startswith("audit.sequence.")}
            found.append({**link, "id": attributes["audit.record.id"], "hash": integrity_hash(record)})
        return sorted(found, key=lambda link: (link["stream_id"], link["number"]))


@pytest.fixture
def kept():
    return Kept()


def check(links):
    """Check one stream from its first record to its last."""
    assert [link["number"] for link in links] == list(range(1, len(links) + 1))
    assert "previous_hash" not in links[0]
    assert "previous_record_id" not in links[0]
    for before, link in itertools.pairwise(links):
        assert link["previous_hash"] == before["hash"]
        assert link["previous_record_id"] == before["id"]


def test_records_of_many_threads_are_one_chain_that_ends_at_the_shutdown(kept, tmp_path):
    provider = AuditProvider(
        BatchProcessor(kept, DiskQueue(tmp_path / "queue")), {"service.instance.id": "instance-1"}
    )
    logger = provider.get_logger("orders", chained=True)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: logger.emit_async(LOGIN).accepted.result(), range(40)))
    assert provider.shutdown(30)
    links = kept.links()
    assert len(links) == 41
    check(links)
    assert {link["stream_id"] for link in links} == {"instance-1/orders"}
    assert [link["number"] for link in links if link.get("end")] == [41]


def test_loggers_have_chains_of_their_own_and_one_without_records_has_no_end(kept):
    provider = AuditProvider(SimpleProcessor(kept))
    one, two = (provider.get_logger(name, chained=True) for name in ("one", "two"))
    provider.get_logger("three", chained=True)
    provider.get_logger("four").emit(LOGIN)
    one.emit(LOGIN)
    two.emit(LOGIN)
    del kept.records[0]
    provider.shutdown()
    links = kept.links()
    assert len({link["stream_id"] for link in links}) == 2
    check(links[:2])
    check(links[2:])
    assert [link["number"] for link in links if link.get("end")] == [2, 2]


def test_an_invalid_record_takes_no_number(kept):
    logger = AuditProvider(SimpleProcessor(kept)).get_logger("orders", chained=True)
    logger.emit(LOGIN)
    with pytest.raises(RecordError):
        logger.emit(AuditRecord(event_name="", action="LOGIN", outcome="success"))
    logger.emit(LOGIN)
    check(kept.links())


def test_after_a_record_that_was_not_accepted_a_new_chain_begins(kept, tmp_path):
    provider = AuditProvider(BatchProcessor(kept, DiskQueue(tmp_path / "queue", max_bytes=60_000)))
    logger = provider.get_logger("orders", chained=True)
    logger.emit(LOGIN)
    big = AuditRecord(event_name="e", action="A", outcome="success", body="x" * 100_000)
    with pytest.raises(QueueFullError):
        logger.emit_async(big).accepted.result(30)
    logger.emit(LOGIN)
    streams = {}
    for link in kept.links():
        streams.setdefault(link["stream_id"], []).append(link)
    assert len(streams) == 2
    for links in streams.values():
        check(links)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_has_a_chain_of_its_own(kept):
    logger = AuditProvider(SimpleProcessor(kept)).get_logger("orders", chained=True)
    logger.emit(LOGIN)
    reading, writing = os.pipe()
    if os.fork() == 0:
        logger.emit(LOGIN)
        link = kept.links()[-1]
        os.write(writing, f"{link['stream_id']} {len({one['stream_id'] for one in kept.links()})}".encode())
        os._exit(0)
    os.wait()
    stream, count = os.read(reading, 1000).decode().split()
    assert count == "2"
    assert stream.endswith("/orders")
