"""The sink asks witnesses to cosign its checkpoints, and keeps, publishes and reports what they answer."""

from __future__ import annotations

import base64
import re
import sqlite3
from contextlib import closing

import pytest
import requests

from assay.exporters.audit import (
    KeyFormatError,
    NotFoundError,
    Policy,
    QuorumError,
    SignatureError,
    export_tiles,
    newest_checkpoint,
    prove,
    refusals,
    verify,
    verify_proof,
)
from assay.exporters.audit._keys import load_or_create
from assay.proof import Checkpoint
from assay.proof.cosignature import cosignatures
from assay.proof.note import sign

from .conftest import ORIGIN, change, rows
from .witnesses import answering, serve_one, wait_until, write_policy

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def policy(tmp_path):
    """Write a policy of 2 of 3 witnesses; return its file."""
    return write_policy(tmp_path)


@pytest.fixture
def witness(policy, database):
    """Return a context manager that serves the witness of a number; it has the same state each time."""
    return lambda number: serve_one(number, policy, database.with_name("verifier.key"))


def witnessed(database):
    return rows(database, "SELECT coalesce(max(size), 0) FROM witnessed")[0][0]


def test_a_checkpoint_gets_its_quorum_and_is_published_with_it(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, policy, witness, tmp_path
):
    sink = open_sink(witness_policy=policy, checkpoint_records=1)
    sink.export(batch(record()))
    parsed = Policy.parse(policy.read_text())
    with pytest.raises(QuorumError):
        verify(database, key(), policy=parsed)
    with witness(0):
        wait_until(lambda: rows(database, "SELECT 1 FROM cosignatures"))
        assert witnessed(database) == 0  # one of three
        with witness(2):
            wait_until(lambda: witnessed(database) == 1)
    sink.export(batch(record()))  # no witness answers
    sink.shutdown()
    found = verify(database, key(), policy=parsed)
    assert (found.records, found.covered, found.witnessed) == (2, 2, 1)
    assert [(each.key.name[-2:], each.count, each.newest) for each in found.cosigners] == [
        ("w0", 1, 1),
        ("w1", 0, 0),
        ("w2", 1, 1),
    ]
    assert not found.refusals
    proof = prove(database, 0, witnessed=True)
    assert len(verify_proof(proof, key(), parsed).cosignatures) == 2
    with pytest.raises(QuorumError):
        verify_proof(prove(database, 0), key(), parsed)
    with pytest.raises(NotFoundError):
        prove(database, 1, witnessed=True)
    assert export_tiles(database, tmp_path / "tiles", witnessed=True) == 1
    parsed.verify((tmp_path / "tiles" / "checkpoint").read_text())
    assert newest_checkpoint(database).split("\n")[1] == "2"


def test_the_newest_checkpoint_is_published_with_its_cosignatures(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, policy, witness
):
    sink = open_sink(witness_policy=policy, checkpoint_records=1)
    with witness(0), witness(1), witness(2):
        sink.export(batch(record()))
        wait_until(lambda: rows(database, "SELECT count(*) FROM cosignatures") == [(3,)])
        sink.shutdown()
    note = database.with_name("checkpoint").read_text()
    assert note == newest_checkpoint(database)
    assert len(cosignatures(note, Policy.parse(policy.read_text()).keys)) == 3
    sink = open_sink(witness_policy=policy)  # the published file has more signatures than the log's own
    assert database.with_name("checkpoint").read_text() == note
    sink.shutdown()


def test_a_witness_is_asked_again_after_a_restart_of_either(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, policy, witness
):
    """Neither keeps the size of the last request: the witness answers with it."""
    open_sink().shutdown()
    for size in (1, 2, 3):
        with witness(0), witness(1):
            sink = open_sink(witness_policy=policy, checkpoint_records=1)
            sink.export(batch(record()))
            wait_until(lambda size=size: witnessed(database) == size)
            sink.shutdown()
    assert not refusals(database)


def test_a_witness_that_saw_another_history_is_evidence(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, policy, witness, caplog
):
    open_sink().shutdown()
    fork = sign(Checkpoint(ORIGIN, 2, bytes(32)), load_or_create(database.with_name("signing.key")))
    url = re.findall(r"http\S+", policy.read_text())
    with witness(0):
        assert requests.post(f"{url[0]}/add-checkpoint", f"old 0\n\n{fork}".encode(), timeout=30).ok
        sink = open_sink(witness_policy=policy, checkpoint_records=1)
        sink.export(batch(record()))
        wait_until(lambda: refusals(database))
        assert "contradicts the log" in sink.problem()
        assert "audit refusals" in sink.problem()
        assert "security event" in caplog.text
        (first,) = refusals(database)
        assert (first.witness[:15], first.size, first.status, first.answer) == (
            "witness.test/w0",
            1,
            409,
            "2\n",
        )
        sink.export(batch(record(), record()))
        wait_until(lambda: len(refusals(database)) == 2)  # the size of the fork has another root
        sink.shutdown()
    second = refusals(database)[-1]
    assert (second.size, second.status) == (3, 422)
    assert second.request.startswith("old 2\n")
    assert newest_checkpoint(database).split("\n")[:2] == [ORIGIN, "3"]
    found = verify(database, key())
    assert [each.status for each in found.refusals] == [409, 422]
    assert found.records == 3  # no record was refused


def test_a_checkpoint_that_another_host_had_cosigned_is_not_evidence(
    open_sink, database, record, batch, policy
):
    """Another host of a log in PostgreSQL may be ahead of this one for a moment."""
    sink = open_sink(witness_policy=policy, checkpoint_records=1, witness_seconds=0.01)
    sink.export(batch(record()))
    other = sign(Checkpoint(ORIGIN, 2, bytes(32)), load_or_create(database.with_name("signing.key")))
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO checkpoints VALUES (2, ?)", (other,))
    with answering(re.findall(r"http\S+", policy.read_text())[0], 409, "text/x.tlog.size", [b"2\n"]):
        wait_until(lambda: "size 2 for another host" in sink.problem())
        sink.shutdown()
    assert not refusals(database)


@pytest.mark.parametrize("table", ["refusals", "cosignatures", "witnessed"])
def test_what_witnesses_answered_is_not_overwritten(open_sink, database, policy, table):
    open_sink(witness_policy=policy).shutdown()
    values = {
        "refusals": "(1, 'w', 1, 409, 'a', 'r', 't')",
        "cosignatures": "(1, 'w', 'l')",
        "witnessed": "(1)",
    }
    insert = f"INTO {table} VALUES {values[table]}"
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute(f"INSERT {insert}")
        for statement in (
            f"DELETE FROM {table}",
            f"UPDATE {table} SET size = 2",
            f"INSERT OR REPLACE {insert}",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)


def test_a_changed_cosignature_is_found(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, key, policy, witness
):
    sink = open_sink(witness_policy=policy, checkpoint_records=1)
    with witness(0), witness(1):
        sink.export(batch(record()))
        wait_until(lambda: witnessed(database) == 1)
        sink.shutdown()
    parsed = Policy.parse(policy.read_text())
    assert verify(database, key(), policy=parsed).witnessed == 1
    lines = [row[0] for row in rows(database, "SELECT line FROM cosignatures ORDER BY witness")]
    changed = lines[0].rstrip("\n")[:-6] + "AAAA==\n"
    assert changed != lines[0]
    change(database, ("UPDATE cosignatures SET line = ? WHERE line = ?", (changed, lines[0])))
    with pytest.raises(
        SignatureError, match=r"checkpoint 1: the cosignature of the witness witness\.test/w0"
    ):
        verify(database, key(), policy=parsed)
    verify(database, key())  # without a policy nothing is claimed about them, except their form
    change(database, "UPDATE cosignatures SET line = 'no signature'")
    with pytest.raises(SignatureError, match="checkpoint 1"):
        verify(database, key())


def test_a_quorum_that_the_database_only_states_is_none(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, policy, witness
):
    sink = open_sink()
    sink.export(batch(record()))
    sink.shutdown()
    change(database, "INSERT INTO witnessed VALUES (1)", "INSERT INTO witnessed VALUES (9)")
    for settings in ({}, {"witness_seconds": 0.1}):
        sink = open_sink(witness_policy=policy, **settings)
        if settings:
            wait_until(lambda sink=sink: "lack their quorum" in sink.problem())
            with witness(0), witness(1):
                wait_until(lambda sink=sink: not sink.problem())
        sink.shutdown()
    sink = open_sink(witness_policy=policy, witness_seconds=0.01)  # the quorum was met before the restart
    assert sink._witnesses.witnessed == 1


def test_a_witness_that_does_not_answer_is_a_problem_after_the_grace(
    open_sink, record, batch, policy, witness
):
    sink = open_sink(witness_policy=policy, checkpoint_records=1, witness_seconds=0.1)
    assert sink.problem() == ""
    sink.export(batch(record()))
    wait_until(lambda: "lack their quorum" in sink.problem())
    wait_until(lambda: "witness.test/w1: it did not answer" in sink.problem())
    with witness(1), witness(2):
        wait_until(lambda: not sink.problem())
        sink.shutdown()


FOREIGN = "\u2014 witness.test/other " + base64.b64encode(bytes(76)).decode() + "\n"


@pytest.mark.parametrize(
    ("status", "kind", "chunks", "failure"),
    [
        (500, "text/plain", [b"broken\x1b[2J"], r"answered 500: broken\\x1b"),
        (403, "text/plain", [b"unknown key"], "answered 403: unknown key"),
        (302, "text/plain", [b""], "answered 302"),
        (200, "text/plain", [b""], "its answer has no cosignature|must be a text"),
        (200, "text/plain", [b"\xff\xfe\n"], "signature line|base64"),
        (200, "text/plain", [FOREIGN.encode()[:9], FOREIGN.encode()[9:]], "no cosignature of its key"),
        (200, "text/plain", [b"x" * 60_000] * 3, "longer than 65536 bytes"),
        (409, "text/x.tlog.size", [b"0\n"], "changes with each request"),
    ],
)
def test_an_answer_that_is_none_is_a_failure_and_not_evidence(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, record, batch, policy, status, kind, chunks, failure
):
    with answering(re.findall(r"http\S+", policy.read_text())[0], status, kind, chunks):
        sink = open_sink(witness_policy=policy, checkpoint_records=1, witness_seconds=0.01)
        sink.export(batch(record()))
        wait_until(lambda: re.search(f"w0: [^;]*({failure})", sink.problem()))
        sink.shutdown()
    assert not refusals(database)
    assert rows(database, "SELECT count(*) FROM cosignatures") == [(0,)]


@pytest.mark.parametrize(
    ("change_of", "message"),
    [
        (lambda text: re.sub(r" http://127\S+", "", text), "witness w0: expected an http"),
        (lambda text: text.replace("127.0.0.1", "witness.example.com"), "in the clear"),
        (lambda text: text.replace("quorum g", ""), "no quorum"),
        (lambda text: text.replace("http://127", "http://user:secret@127", 1), "holds credentials"),
    ],
)
def test_a_sink_with_a_wrong_policy_does_not_start(open_sink, policy, change_of, message):
    policy.write_text(change_of(policy.read_text()))
    with pytest.raises(KeyFormatError, match=message) as caught:
        open_sink(witness_policy=policy)
    assert "secret" not in str(caught.value)


def test_the_host_publishes_over_http_the_checkpoint_with_its_quorum(  # noqa: PLR0913, PLR0917
    run_host, database, record, batch, policy, witness
):
    listener = {"name": "direct", "protocol": "http", "address": "127.0.0.1:0", "auth": {"bearer": "token"}}
    settings = {"checkpoint_records": 1, "witness_policy": str(policy), "witness_seconds": 0.1}
    host = run_host(listener, database=str(database), **settings)
    name, port = host.addresses["direct"]
    session = requests.Session()
    session.headers["Authorization"] = "Bearer token"

    def send():
        body = batch(record()).request.SerializeToString()
        headers = {"Content-Type": "application/x-protobuf"}
        assert session.post(f"http://{name}:{port}/v1/audit", body, headers=headers, timeout=30).ok

    def published():
        return session.get(f"http://{name}:{port}/v1/audit/log/checkpoint", timeout=30).text.split("\n")[1]

    with witness(0), witness(1):
        send()
        wait_until(lambda: witnessed(database) == 1)
    send()
    assert (newest_checkpoint(database).split("\n")[1], published()) == ("2", "1")
    tile = f"http://{name}:{port}/v1/audit/log/tile/0/000.p/"
    assert [session.get(f"{tile}{width}", timeout=30).status_code for width in (1, 2)] == [200, 404]
