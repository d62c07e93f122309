from __future__ import annotations

import pytest

from assay.exporters.audit import KeyFormatError
from assay.exporters.audit._keys import load_or_create, load_verifier


def test_a_signing_key_passed_as_verifier_key_is_not_shown(tmp_path):
    signing = load_or_create(tmp_path / "signing.key")
    assert signing
    secret = (tmp_path / "signing.key").read_text().splitlines()[1]
    with pytest.raises(KeyFormatError, match=r"signing\.key: not a verifier key") as caught:
        load_verifier(tmp_path / "signing.key")
    assert secret not in str(caught.value)
