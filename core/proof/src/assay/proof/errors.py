"""Errors of audit logs and of their verification. Verification raises; it never returns a verdict."""

from __future__ import annotations

import re

from assay.endpoints import printable

_VALUE_CHARACTERS = 60  # of a value in a message
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}").fullmatch


def named(value: object) -> str:
    """Return an id or a leaf index for a message: quoted and shortened unless it is a UUID or a number.

    An id that somebody put into a row could otherwise read as a part of the message.
    """
    return str(value) if isinstance(value, int) or _UUID(str(value)) else shortened(value)


def shortened(value: object) -> str:
    """Return a value of a record for a message: quoted, with at most 60 characters."""
    text = repr(value)
    return text if len(text) <= _VALUE_CHARACTERS else text[:_VALUE_CHARACTERS] + "…"


class AuditLogError(Exception):
    """Base of every error of an audit log. Its text is one line that is safe to print."""

    def __str__(self) -> str:
        """Return the message, with control characters of records escaped."""
        return printable(super().__str__())


class KeyFormatError(AuditLogError):
    """A verifier key or a signing key cannot be read."""


class VerificationError(AuditLogError):
    """Verification failed; the message names the first fault. Base of every error of verification."""


class SignatureError(VerificationError):
    """A checkpoint is malformed, or not signed by the key."""


class QuorumError(SignatureError):
    """A checkpoint lacks cosignatures of witnesses that a policy requires."""


class TreeMismatchError(VerificationError):
    """The entries do not hash to a signed root: one was inserted, removed, swapped or rewritten."""


class ProofError(VerificationError):
    """A proof is malformed."""
