"""State files are for their owner, whoever made them."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing

import pytest

from assay.host.private_files import private_database, private_folder

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_database_and_its_folder_are_created_for_their_owner(tmp_path, caplog):
    path = tmp_path / "a" / "b" / "state.db"
    private_folder(path.parent)
    private_database(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE x (y)")
        assert {file.name: mode(file) for file in path.parent.iterdir()} == {
            "state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600,
        }  # fmt: skip
    assert mode(path.parent) == 0o700
    assert not caplog.records


def test_files_that_others_may_read_are_tightened_and_the_log_says_so(tmp_path, caplog):
    files = [tmp_path / name for name in ("state.db", "state.db-wal", "state.db-shm", "state.db-journal")]
    for file in files:
        file.touch()
        file.chmod(0o644)
    tmp_path.chmod(0o755)
    private_folder(tmp_path)
    private_database(files[0])
    assert [mode(file) for file in files] == [0o600] * 4
    assert mode(tmp_path) == 0o700
    assert "state.db: other users could read it (mode 0644): it has mode 0600 now" in caplog.text
    assert len(caplog.records) == 5
    caplog.clear()
    private_folder(tmp_path)
    private_database(files[0])
    assert not caplog.records


@only_root
@pytest.mark.parametrize("name", ["state.db", "state.db-wal"])
def test_a_file_of_another_user_is_refused(tmp_path, name):
    for file in (tmp_path / "state.db", tmp_path / name):
        file.touch()
    os.chown(tmp_path / name, 65534, 65534)
    with pytest.raises(PermissionError, match=f"another user owns it.*{name}"):
        private_database(tmp_path / "state.db")


@only_root
def test_a_folder_of_another_user_stays_as_it_is(tmp_path, caplog):
    folder = tmp_path / "mounted"
    folder.mkdir()
    folder.chmod(0o777)
    os.chown(folder, 65534, 65534)
    private_folder(folder)
    assert mode(folder) == 0o777
    assert "all users may write to it" in caplog.text
