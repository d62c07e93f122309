"""Verify a log in parts of several lengths: the result must be the same."""

from __future__ import annotations

from typing import Any

import pytest

from assay.exporters.audit import AuditLogError, Verified, _verify, _verify_ranges, verify

LENGTHS = (16, 1 << 12)  # leaves; logs of tests are shorter than the second
STORED_WITHIN = 0.1  # seconds; no sink is about to store a checkpoint in these logs


def outcome(*arguments: Any, length: int = LENGTHS[-1], **options: Any) -> Verified | tuple[type, str]:
    """Return the result of a verification in parts of a length, or type and text of its error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_verify_ranges, "RANGE", length)
        try:
            return verify_now(*arguments, **options)
        except AuditLogError as error:
            return type(error), str(error)


def verify_in_parts(*arguments: Any, **options: Any) -> Verified:
    """Verify a log in parts of each length; return the result, or raise the error."""
    assert outcome(*arguments, length=LENGTHS[0], **options) == outcome(*arguments, **options)
    return verify_now(*arguments, **options)


def verify_now(*arguments: Any, **options: Any) -> Verified:
    """Verify a log without the time in which a sink may store a missing checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_verify, "_STORED_WITHIN", STORED_WITHIN)
        return verify(*arguments, **options)
