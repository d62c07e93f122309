"""Read the log's keys from disk, and create the signing key."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from assay.exporters.audit._errors import KeyFormatError, OpenError
from assay.proof.note import VerifierKey
from assay.proof.policy import Policy
from assay.proof.trusted_keys import Required, TrustedKeys

_GROUP_AND_OTHERS = 0o077


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """Return the signing key in a file; create the file (mode 0600) when it is missing.

    Raises:
        KeyFormatError: The file does not contain an Ed25519 key in PEM.
        OpenError: Other users may read the file, or it cannot be read or written.
    """
    try:
        if not path.exists():
            return _create(path)
        stat = path.stat()
        if stat.st_uid != os.geteuid():
            raise OpenError(f"{path}: another user owns the signing key: run as its owner, or chown it")
        if stat.st_mode & _GROUP_AND_OTHERS:
            raise OpenError(
                f"{path}: other users may read the signing key: chmod 600 it, or replace it if they did"
            )
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise OpenError(f"{path}: the signing key cannot be read or written: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise KeyFormatError(f"{path} must contain a private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyFormatError(f"{path} must contain an Ed25519 key")
    return key


def load_verifier(path: Path) -> VerifierKey:
    """Return the verifier key in a file of one line.

    Raises:
        KeyFormatError: The file does not contain a verifier key.
        OpenError: The file cannot be read.
    """
    try:
        return VerifierKey.parse(_read(path))
    except KeyFormatError as error:
        raise KeyFormatError(f"{path}: {error}") from error


def load_trusted(path: Path, required: Required = "any", retired: Path | None = None) -> TrustedKeys:
    """Return the verifier keys in files, one key a line.

    Args:
        path: File of the keys that sign the log now.
        required: Whether one or each of them must have signed the newest checkpoint.
        retired: File of keys that signed the log before; they verify older checkpoints only.

    Raises:
        KeyFormatError: A line is not a verifier key, or the keys have different names.
        OpenError: A file cannot be read.
    """
    try:
        return TrustedKeys.parse(_read(path), required, "" if retired is None else _read(retired))
    except KeyFormatError as error:
        files = f"{path}" if retired is None else f"{path} and {retired}"
        raise KeyFormatError(f"{files}: {error}") from error


def read_policy(path: Path) -> Policy:
    """Return the policy in a file, of witnesses.

    Raises:
        KeyFormatError: It is malformed.
        OpenError: The file cannot be read.
    """
    try:
        return Policy.parse(path.read_text("utf-8"))
    except KeyFormatError as error:
        raise KeyFormatError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise KeyFormatError(f"{path}: the policy is not UTF-8") from error
    except OSError as error:
        raise OpenError(f"{path}: the policy cannot be read: {error.strerror}") from error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise KeyFormatError(f"{path} does not contain a verifier key: {error}") from error
    except OSError as error:
        raise OpenError(f"{path}: the verifier key cannot be read: {error.strerror}") from error


def write_atomically(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace a file and sync it to disk. A reader sees the old or the new content, also after a crash.

    Raises:
        OSError: The file cannot be written.
    """
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_folder(path.parent)


def _create(path: Path) -> Ed25519PrivateKey:
    key = Ed25519PrivateKey.generate()
    write_atomically(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)
    return key


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
