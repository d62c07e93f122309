"""The trust store: the keys whose signatures on records the sink accepts.

A YAML file:

    required: false                  # true: a record without a signature is invalid
    keys:
      - {id: orders-2026, algorithm: EdDSA, public_key: orders-2026.pem}
      - {id: ledger-1, algorithm: ES256, certificate: ledger.pem, not_after: 2027-01-01T00:00:00Z}
      - {id: ledger-0, algorithm: ES256, certificate: old.pem, revoked: 2026-05-04T00:00:00Z}
      - {id: till, algorithm: HMAC-SHA256, secret: till.secret}

To rotate a key, add the new one, and give the old one a `not_after`. The file is read again when it changes.
Times are compared with the sink's clock: a signer with a stolen key can choose the times in its records.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pydantic
import yaml
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from assay.audit.canonical import Content, unwrap
from assay.audit.collector_form import collector_form
from assay.audit.errors import RecordError
from assay.exporters.audit._algorithms import ALGORITHMS, Key, fits
from assay.exporters.audit._errors import KeyFormatError, OpenError, shortened
from assay.semconv import attributes as keys

PASSED = "passed"
"""The `verify_status` of a record whose signature the sink has verified."""
_FORMS = (None, "jcs")  # values of audit.integrity.canonicalization


class _KeyEntry(pydantic.BaseModel, extra="forbid"):
    id: str = pydantic.Field(min_length=1)
    algorithm: Literal["EdDSA", "ES256", "RS256", "HMAC-SHA256"]
    public_key: Path | None = None
    certificate: Path | None = None
    secret: Path | None = None
    not_before: pydantic.AwareDatetime | None = None
    not_after: pydantic.AwareDatetime | None = None
    revoked: pydantic.AwareDatetime | None = None


class _File(pydantic.BaseModel, extra="forbid"):
    required: bool = False
    keys: list[_KeyEntry] = []


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record, with its canonical form, which every record of the sink has.

    Args:
        canonical: The form `jcs`.
        record: The record. The Collector's own `signing` processor signs another form, and does not name it.
    """

    canonical: bytes
    record: LogRecord

    def messages(self, form: object) -> list[bytes]:
        """Return the bytes that a signature of this form covers; several if the form has no name."""
        messages = [self.canonical]
        if form is None:
            with suppress(RecordError):  # it has no such form
                messages.append(collector_form(self.record))
        return messages


@dataclass(frozen=True, slots=True)
class _TrustedKey:
    entry: _KeyEntry
    key: Key
    names: frozenset[str]  # the values of audit.integrity.certificate that mean this key

    def refusal(self, at: dt.datetime) -> str:
        """Return why the key does not verify at a time; empty if it does."""
        entry = self.entry
        if entry.revoked is not None and at >= entry.revoked:
            return f"key {entry.id} was revoked at {entry.revoked.isoformat()}"
        if entry.not_before is not None and at < entry.not_before:
            return f"key {entry.id} is not valid before {entry.not_before.isoformat()}"
        if entry.not_after is not None and at >= entry.not_after:
            return f"key {entry.id} was valid until {entry.not_after.isoformat()}"
        return ""


class TrustStore:
    """The trusted keys of a file, which is read again when it changes.

    Args:
        path: The file. None: no key is trusted, so a signed record is invalid.

    Raises:
        OpenError: A file cannot be read.
        KeyFormatError: A file is malformed.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._state: tuple[int, ...] = ()
        self._required = False
        self._keys: Sequence[_TrustedKey] = ()
        self.reload()

    def reload(self) -> None:
        """Read the file if it has changed. If it is malformed, the keys stay as they were.

        Raises:
            OpenError: A file cannot be read.
            KeyFormatError: A file is malformed.
        """
        if self._path is None:
            return
        try:
            stat = self._path.stat()
            state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if state != self._state:
                self._required, self._keys = _load(self._path)
                self._state = state
        except OSError as error:
            raise OpenError(f"{error.filename}: the trust store cannot be read: {error.strerror}") from error

    def states(self, at: int) -> list[tuple[str, str, str]]:
        """Return id, algorithm, and why it does not verify at a time (empty if it does), of each key.

        Args:
            at: The time, in ns since 1970.
        """
        moment = dt.datetime.fromtimestamp(at / 1e9, dt.timezone.utc)
        return [(each.entry.id, each.entry.algorithm, each.refusal(moment)) for each in self._keys]

    def verify(self, record: SignedRecord, integrity: Content, resource: Content, at: int) -> str:
        """Verify the signature of a record.

        Args:
            record: The record, with the forms that may be signed.
            integrity: The `audit.integrity.*` attributes of the record.
            resource: The attributes of its resource.
            at: Time of the sink, in ns since 1970.

        Returns:
            `PASSED`, or an empty string for a record without a signature.

        Raises:
            RecordError: The signature is wrong, its key is not trusted, or a signature is required.
        """
        value = unwrap(integrity.get(keys.AUDIT_INTEGRITY_VALUE, {}))
        if value is None:
            if self._required:
                raise RecordError("the record is not signed, and the trust store requires a signature")
            return ""
        form = unwrap(integrity.get(keys.AUDIT_INTEGRITY_CANONICALIZATION, {}))
        if form not in _FORMS:
            raise RecordError(f"the canonical form {shortened(form)} of the signature is unknown: use jcs")
        messages = record.messages(form)
        algorithm = unwrap(resource.get(keys.AUDIT_INTEGRITY_ALGORITHM, {}))
        reference = unwrap(resource.get(keys.AUDIT_INTEGRITY_CERTIFICATE, {}))
        candidates = self._candidates(algorithm, reference, at)
        signature = _decode(value)
        for candidate in candidates:
            if any(_is_signed(candidate, signature, message) for message in messages):
                return PASSED
        raise RecordError(
            "the signature is wrong: the record was changed after it was signed, or signed by another key"
            f" than {', '.join(candidate.entry.id for candidate in candidates)}"
        )

    def _candidates(self, algorithm: object, reference: object, at: int) -> list[_TrustedKey]:
        """Return the keys that a signature may be of; without a reference all of the algorithm."""
        if algorithm not in ALGORITHMS:
            raise RecordError(
                f"{keys.AUDIT_INTEGRITY_ALGORITHM} of the resource is {shortened(algorithm)}: it must be one"
                f" of {', '.join(ALGORITHMS)}"
            )
        known = [
            each
            for each in self._keys
            if each.entry.algorithm == algorithm and (reference is None or reference in each.names)
        ]
        if not known:
            raise RecordError(
                f"the key {shortened(reference)} ({algorithm}) of the signature is not in the trust store"
            )
        moment = dt.datetime.fromtimestamp(at / 1e9, dt.timezone.utc)
        refusals = {each.entry.id: each.refusal(moment) for each in known}
        valid = [each for each in known if not refusals[each.entry.id]]
        if not valid:
            raise RecordError("; ".join(refusals.values()))
        return valid


def _is_signed(trusted: _TrustedKey, signature: bytes, message: bytes) -> bool:
    try:
        ALGORITHMS[trusted.entry.algorithm](trusted.key, signature, message)
    except InvalidSignature:
        return False
    return True


def _decode(value: object) -> bytes:
    try:
        return base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RecordError(f"{keys.AUDIT_INTEGRITY_VALUE} must be base64: {error}") from error


def _load(path: Path) -> tuple[bool, list[_TrustedKey]]:
    try:
        content: Any = yaml.safe_load(path.read_text("utf-8"))
        file = _File.model_validate(content or {})
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # PyYAML leaves a ValueError of a date
        raise KeyFormatError(f"{path}: the trust store is malformed: {error}") from error
    identifiers = [entry.id for entry in file.keys]
    if len(set(identifiers)) != len(identifiers):
        raise KeyFormatError(f"{path}: two keys of the trust store have the same id")
    return file.required, [_read(entry, path.parent) for entry in file.keys]


def _read(entry: _KeyEntry, folder: Path) -> _TrustedKey:
    sources = [each for each in (entry.public_key, entry.certificate, entry.secret) if each is not None]
    if len(sources) != 1:
        raise KeyFormatError(f"key {entry.id}: give exactly one of public_key, certificate and secret")
    source = folder / sources[0]
    names = {entry.id}
    try:
        content = source.read_bytes()
        if entry.secret is not None:
            key: object = content.strip()
        elif entry.public_key is not None:
            key = load_pem_public_key(content)
        else:
            certificate = x509.load_pem_x509_certificate(content)
            key = certificate.public_key()
            names |= _references(certificate)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFormatError(f"key {entry.id}: {source} must be a key in PEM: {error}") from error
    if not fits(entry.algorithm, key):
        raise KeyFormatError(f"key {entry.id}: {source} is not a key for {entry.algorithm}, or too short")
    return _TrustedKey(entry, key, frozenset(names))  # pyright: ignore[reportArgumentType]  `fits` checked it


def _references(certificate: x509.Certificate) -> set[str]:
    """Return the forms in which `audit.integrity.certificate` may name a certificate."""
    der = certificate.public_bytes(Encoding.DER)
    found = {
        base64.b64encode(der).decode(),
        f"sha256:{hashlib.sha256(der).hexdigest()}",
        f"sha1:{hashlib.sha1(der).hexdigest()}",  # noqa: S324  a name, no protection
        f"{certificate.issuer.rfc4514_string()}/{certificate.serial_number}",
    }
    try:
        identifier = certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return found
    return found | {identifier.value.digest.hex()}
