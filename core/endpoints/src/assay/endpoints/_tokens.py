"""Bearer tokens (RFC 6750 section 2.1)."""

from __future__ import annotations

import re

from assay.endpoints._errors import EndpointError

_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]+")


def check_token(token: str) -> str:
    """Return the token if an `Authorization` header can carry it: visible ASCII characters, no spaces.

    RFC 6750 allows fewer characters; servers accept these.

    Raises:
        EndpointError: It is empty, or has other characters.
    """
    if not token:
        raise EndpointError("the token is empty")
    if not _VISIBLE_ASCII.fullmatch(token):
        raise EndpointError(
            "a header cannot carry the token: expected visible ASCII characters, without spaces and without"
            " the line end of the file that it was read from"
        )
    return token
