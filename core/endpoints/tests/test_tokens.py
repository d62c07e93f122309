from __future__ import annotations

import pytest

from assay.endpoints import EndpointError, check_token


def test_a_token_that_a_header_can_carry_is_returned():
    assert check_token("abc.DEF-123_~+/=") == "abc.DEF-123_~+/="


@pytest.mark.parametrize("token", ["s3cret\n", "s3 cret", " s3cret", "s3cret\u20ac", "s3cret\x7f"])
def test_other_tokens_are_rejected_and_not_shown(token):
    with pytest.raises(EndpointError, match="visible ASCII") as caught:
        check_token(token)
    assert "s3" not in str(caught.value)


def test_an_empty_token_is_rejected():
    with pytest.raises(EndpointError, match="empty"):
        check_token("")
