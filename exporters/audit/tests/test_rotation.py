"""Rotate the signing key of a log: the new key signs beside the previous one, and then without it."""

from __future__ import annotations

import shutil

import pytest

from assay.exporters.audit import (
    OpenError,
    SignatureError,
    VerificationError,
    archive,
    consistency,
    load_trusted,
    prove,
    verify,
    verify_archive,
    verify_proof,
)
from assay.exporters.audit._keys import load_or_create

from .conftest import change, owners, rows, table_of


@pytest.fixture
def restart(open_sink, log, record, batch):
    """Start the sink with settings, store one record, and stop it."""

    def run(**settings):
        sink = open_sink(**settings)
        sink.export(batch(record()))
        sink.shutdown()

    return run


@pytest.fixture
def new(log):
    return log.with_name("new.key")


@pytest.fixture
def old(log):
    return log.with_name("signing.key")


@pytest.fixture
def keys(log, tmp_path):
    """The published verifier keys of the three times: before, during and after the rotation."""

    def publish(name):
        return shutil.copy(log.with_name("verifier.key"), tmp_path / name)

    return publish


@pytest.fixture
def rotated(restart, new, old, keys):
    """A log of 46 entries: one key signed 43, both signed 44, the new one signed 45 and 46."""
    files = [keys("before")]
    restart(key=new, previous_keys=(old,))
    files.append(keys("during"))
    restart(key=new)
    files.append(keys("after"))
    restart(key=new)
    return files


@pytest.mark.stores("sqlite", "postgresql")
def test_both_keys_sign_while_the_key_is_rotated(log, restart, new, old, caplog):
    before = load_trusted(log.with_name("verifier.key")).keys[0]
    restart(key=new, previous_keys=(old,))
    trusted = load_trusted(log.with_name("verifier.key"), "each")
    assert trusted.keys[1] == before
    assert f"publish {log.with_name('verifier.key')}" in caplog.text
    for verifier in (trusted, before, load_trusted(log.with_name("verifier.key"))):
        assert verify(log, verifier).covered == 44
    assert verify_proof(prove(log, 3), trusted).index == 3
    found = {signed.key: (signed.first, signed.newest) for signed in verify(log, trusted).signers}
    assert found == {before: (0, 44), trusted.keys[0]: (44, 44)}
    assert new.stat().st_mode & 0o077 == 0


@pytest.mark.stores("sqlite", "postgresql")
def test_the_previous_key_is_retired_once_both_have_signed(log, rotated):
    before, _, after = rotated
    trusted = load_trusted(after, "each", before)
    found = verify(log, trusted)
    assert (found.covered, len(trusted.keys)) == (46, 1)
    assert [(each.first, each.newest) for each in found.signers] == [(0, 44), (44, 46)]
    assert verify_proof(prove(log, 45), load_trusted(after)).index == 45


def test_a_rotated_log_does_not_verify_with_the_retired_key_alone(log, rotated):
    before, during, _ = rotated
    with pytest.raises(SignatureError, match=r"checkpoint 45: .*was the key replaced"):
        verify(log, load_trusted(before))
    with pytest.raises(SignatureError, match="was the key replaced"):
        verify_proof(prove(log, 45), load_trusted(before))
    with pytest.raises(SignatureError, match=r"checkpoint 46: .*not signed"):
        verify(log, load_trusted(during, "each"))


def test_a_rotated_log_does_not_verify_without_the_retired_key(log, rotated):
    with pytest.raises(SignatureError, match="checkpoint 0: "):
        verify(log, load_trusted(rotated[2]))


@pytest.mark.stores("sqlite", "postgresql")
def test_a_retired_key_cannot_sign_the_newest_checkpoint(log, rotated, old):
    """A thief of the retired key cuts the log at a checkpoint that the retired key signed."""
    before, _, after = rotated
    change(
        log,
        "DELETE FROM checkpoints WHERE size > 43",
        "DELETE FROM ids WHERE leaf_index >= 43",
        f"DELETE FROM {table_of(log, 'recent_ids')} WHERE leaf_index >= 43",
        "DELETE FROM audit_log WHERE leaf_index >= 43",
    )
    assert verify(log, load_trusted(before)).covered == 43
    with pytest.raises(SignatureError, match=r"checkpoint 43: .*was the key replaced"):
        verify(log, load_trusted(after, retired=before))


def test_a_key_that_nobody_rotated_is_refused(open_sink, log, new, old):
    load_or_create(new)
    with pytest.raises(OpenError, match="verifier_key"):
        open_sink(key=new)
    shutil.copy(log.with_name("signing.key.checkpoint"), log.with_name("new.key.checkpoint"))
    with pytest.raises(OpenError, match="in previous_keys until a checkpoint has both"):
        open_sink(key=new)
    new.unlink()
    with pytest.raises(OpenError, match=r"absent\.key: the log's signing key is missing"):
        open_sink(key=new, previous_keys=(old, log.with_name("absent.key")))
    assert not new.exists()


def test_the_previous_key_cannot_be_retired_before_both_have_signed(open_sink, restart, log, new, old):
    open_sink(key=new, previous_keys=(old,)).shutdown()  # size 43 has its checkpoint: no second one is signed
    assert len(rows(log, "SELECT note FROM checkpoints WHERE size = 43")) == 1
    with pytest.raises(OpenError, match="checkpoint"):
        open_sink(key=new)
    restart(key=new, previous_keys=(old,))
    restart(key=new)


def test_the_new_key_can_take_the_name_of_the_previous_one(restart, log, old, key):
    before = key()
    restart()
    previous = old.rename(log.with_name("previous.key"))
    restart(previous_keys=(previous,))
    after = load_trusted(log.with_name("verifier.key"), "each")
    assert after.keys[1] == before
    assert verify(log, after).covered == 45


def test_a_retired_key_is_refused_by_the_sink(open_sink, log, rotated, old):
    with pytest.raises(OpenError, match="checkpoint"):
        open_sink(key=old)
    log.with_name("signing.key.checkpoint").unlink()
    with pytest.raises(OpenError, match="checkpoint"):
        open_sink(key=old)


def test_the_newest_kept_checkpoint_counts_after_a_crash(open_sink, log, restart, new, old):
    """The signer was killed when it had kept the checkpoint beside the first key only."""
    restart(key=new, previous_keys=(old,))
    behind = log.with_name("signing.key.checkpoint").read_text()
    backup = log.with_name("backup.db")
    shutil.copy(log, backup)
    restart(key=new, previous_keys=(old,))
    log.with_name("signing.key.checkpoint").write_text(behind)
    log.with_name("checkpoint").unlink()
    open_sink(key=new, previous_keys=(old,)).shutdown()
    shutil.copy(backup, log)
    log.with_name("checkpoint").unlink()
    with pytest.raises(OpenError, match="45 entries, the log has 44"):
        open_sink(key=new, previous_keys=(old,))


def test_consistency_across_a_rotation(log, rotated):
    before, _, after = rotated
    notes = dict(rows(log, "SELECT size, note FROM checkpoints"))
    assert consistency(log, notes[43], notes[46], load_trusted(after, "each", before)).startswith("old 43\n")
    with pytest.raises(SignatureError):
        consistency(log, notes[43], notes[46], load_trusted(after))


def test_a_verifier_does_not_accept_other_rows_beside_the_keys(log, rotated):
    before, _, after = rotated
    change(log, "INSERT INTO meta VALUES ('note', 'x')")
    with pytest.raises(VerificationError, match="meta"):
        verify(log, load_trusted(after, retired=before))


@pytest.mark.stores("sqlite", "postgresql")
def test_an_archive_verifies_with_the_key_of_its_time(log, restart, new, old, keys, tmp_path):  # noqa: PLR0913, PLR0917  fixtures
    before, folder = keys("before"), tmp_path / "archives"
    archive(owners(log), load_trusted(before), "0s", folder)
    restart(key=new, previous_keys=(old,))
    restart(key=new)
    trusted = load_trusted(keys("after"), retired=before)
    assert verify(log, trusted, archives=folder).archives_verified
    assert verify_archive(folder / "0-42", load_trusted(before)).quarantined == 3
    with pytest.raises(SignatureError):
        verify_archive(folder / "0-42", trusted)
