"""The sink does not sign a fork: it compares its log with every checkpoint that it can see."""

from __future__ import annotations

import shutil
import sqlite3

import pytest

from assay.exporters.audit import OpenError, verify
from assay.host import Retry
from assay.proof.note import open_checkpoint

from .conftest import change, forge, rows

pytestmark = pytest.mark.stores("sqlite", "postgresql")

KEPT = "signing.key.checkpoint"


def test_the_signer_keeps_its_last_checkpoint_beside_the_key(log, key):
    kept = log.with_name(KEPT)
    assert kept.stat().st_mode & 0o077 == 0
    assert kept.read_text() == log.with_name("checkpoint").read_text()
    assert open_checkpoint(kept.read_text(), key()).size == 43


@pytest.mark.stores("sqlite")
def test_an_older_database_beside_newer_checkpoints_is_refused(open_sink, log, record, batch, tmp_path):
    backup = tmp_path / "backup.db"
    shutil.copy(log, backup)
    sink = open_sink()
    sink.export(batch(record()))
    sink.shutdown()
    newest = {name: log.with_name(name).read_bytes() for name in ("checkpoint", KEPT)}
    shutil.copy(backup, log)
    for name in ("checkpoint", KEPT):
        log.with_name("checkpoint" if name == KEPT else KEPT).unlink()  # one of them suffices
        with pytest.raises(OpenError, match=r"44 entries, the log has 43.*Restore the newest database"):
            open_sink()
        assert log.with_name(name).read_bytes() == newest[name]  # the evidence is still there
        for each, content in newest.items():
            log.with_name(each).write_bytes(content)


@pytest.mark.stores("sqlite")
def test_a_removed_database_beside_its_checkpoint_is_refused(open_sink, log):
    log.unlink()
    with pytest.raises(OpenError, match="43 entries, the log has 0"):
        open_sink()


def test_a_forged_log_is_not_signed(open_sink, log):
    """The forger has the database, and put an older checkpoint beside it; the key is out of reach."""
    forge(log, "bob@example.com!!")
    (older,) = rows(log, "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")[0]
    log.with_name("checkpoint").write_text(older)
    with pytest.raises(OpenError, match=r"contradicts .*signing\.key\.checkpoint"):
        open_sink()
    assert log.with_name("checkpoint").read_text() == older


def test_a_signer_without_its_last_checkpoint_does_not_start(open_sink, log):
    log.with_name(KEPT).unlink()
    with pytest.raises(OpenError, match="copy there the newest checkpoint"):
        open_sink()
    shutil.copy(log.with_name("checkpoint"), log.with_name(KEPT))
    open_sink()


def test_a_checkpoint_of_another_log_is_refused(open_sink, log, tmp_path):
    open_sink(database=tmp_path / "other" / "log.db", password_file=None, folder=None).shutdown()
    shutil.copy(tmp_path / "other" / "checkpoint", log.with_name("checkpoint"))
    with pytest.raises(OpenError, match="Move it away"):
        open_sink()


def test_a_checkpoint_that_was_signed_but_not_stored_is_used_again(open_sink, log, key):
    """The sink was killed after the signer had kept the checkpoint, and before the log stored it."""
    (note,) = rows(log, "SELECT note FROM checkpoints WHERE size = 43")[0]
    change(log, "DELETE FROM checkpoints WHERE size = 43")
    open_sink().shutdown()
    assert rows(log, "SELECT note FROM checkpoints WHERE size = 43") == [(note,)]
    assert verify(log, key()).covered == 43


def test_a_log_that_is_changed_while_the_sink_runs_is_not_signed(open_sink, database, record, batch):
    sink = open_sink(checkpoint_seconds=3600)
    sink.export(batch(*(record() for _ in range(20))))
    sink._log.checkpoint()
    before = database.with_name(KEPT).read_text()
    change(database, "UPDATE nodes SET hash = zeroblob(32)", "UPDATE audit_log SET leaf_hash = zeroblob(32)")
    sink.export(batch(record()))
    with pytest.raises(OpenError, match="another program changed the log"):
        sink._log.checkpoint()
    with pytest.raises(Retry, match="another program changed the log"):
        sink.export(batch(record()))
    assert database.with_name(KEPT).read_text() == before


@pytest.mark.stores("sqlite")
def test_a_trigger_that_swallows_records_stops_the_sink(open_sink, database, record, batch):
    trigger = """CREATE TRIGGER quiet BEFORE INSERT ON audit_log WHEN NEW.actor_id = 'mallory'
                 BEGIN SELECT RAISE(IGNORE); END"""
    sink = open_sink()
    connection = sqlite3.connect(database)
    connection.execute(trigger)
    connection.commit()
    connection.close()
    with pytest.raises(Retry, match="quiet"):
        sink.export(batch(record(actor_id="mallory")))
    sink.shutdown()
    with pytest.raises(OpenError, match="quiet"):
        open_sink()
