"""State files that other users could read, or had made."""

from __future__ import annotations

import os
import stat

import pytest

pytestmark = [pytest.mark.attack, pytest.mark.slow]

LISTENER = {"name": "http", "protocol": "http"}


def exporters(folder):
    return {
        "audit": {
            "type": "audit",
            "database": str(folder / "audit" / "log.db"),
            "origin": "attacks.test/log",
        },
        "cdevents": {
            "type": "cdevents",
            "outbox": str(folder / "cdevents" / "outbox.db"),
            "sinks": [{"type": "file", "path": str(folder / "events.jsonl")}],
        },
        "metrics": {
            "type": "metrics",
            "database": str(folder / "metrics" / "series.db"),
            "address": "127.0.0.1:0",
        },
    }


DATABASES = ("audit/log.db", "cdevents/outbox.db", "metrics/series.db")


def modes(folder):
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for name in ("audit", "cdevents", "metrics")
        for path in (folder / name, *(folder / name).iterdir())
    }


def others_may_read(folder):
    public = {"audit/verifier.key", "audit/checkpoint"}
    return {name for name, mode in modes(folder).items() if mode & 0o077 and name not in public}


def test_all_state_is_created_for_its_owner(serve, tmp_path):
    serve(LISTENER, exporters=exporters(tmp_path))
    assert set(DATABASES) <= modes(tmp_path).keys()
    assert others_may_read(tmp_path) == set()


def test_state_that_others_may_read_is_tightened_at_the_start(serve, tmp_path):
    for name in DATABASES:
        path = tmp_path / name
        path.parent.mkdir(mode=0o755)
        path.parent.chmod(0o755)
        path.touch()
        path.chmod(0o644)
    host = serve(LISTENER, exporters=exporters(tmp_path))
    assert others_may_read(tmp_path) <= {"cdevents", "metrics"}  # folders that may have other contents
    for name in DATABASES:
        assert f"{name}: other users could read it (mode 0644): it has mode 0600 now" in host.log.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
@pytest.mark.parametrize("name", DATABASES)
def test_state_of_another_user_is_refused(serve, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir()
    path.touch()
    os.chown(path, 65534, 65534)
    with pytest.raises(AssertionError, match="another user owns it"):
        serve(LISTENER, exporters=exporters(tmp_path))
