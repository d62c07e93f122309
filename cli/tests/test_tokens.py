"""The tokens of a folder."""

from __future__ import annotations

import stat

import pytest

from assay.cli._errors import StackError
from assay.cli._tokens import load_or_create_tokens


def test_tokens_stay_the_same_and_only_their_owner_may_read_them(tmp_path):
    folder = tmp_path / "state"
    tokens = load_or_create_tokens(folder)
    assert load_or_create_tokens(folder) == tokens
    assert len({tokens.audit, tokens.telemetry, tokens.host, tokens.host_audit}) == 4
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600] * 4
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert tokens.audit not in repr(tokens)


def test_a_token_that_others_may_read_is_rejected(tmp_path):
    load_or_create_tokens(tmp_path)
    (tmp_path / "audit.token").chmod(0o644)
    with pytest.raises(
        StackError, match=r"audit\.token: other users may read the token, or own its file: chmod 600"
    ):
        load_or_create_tokens(tmp_path)


@pytest.mark.parametrize("content", ["", "two words", "\xe9", "a\nb\n"])
def test_a_file_without_a_token_is_rejected_and_its_content_is_not_shown(tmp_path, content):
    load_or_create_tokens(tmp_path)
    (tmp_path / "host.token").write_text(content, encoding="latin-1")
    with pytest.raises(StackError, match=r"host\.token: .*: delete the file for a new token") as caught:
        load_or_create_tokens(tmp_path)
    assert not content or content not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "state").touch()
    with pytest.raises(StackError, match="cannot be read or written: "):
        load_or_create_tokens(tmp_path / "state")
