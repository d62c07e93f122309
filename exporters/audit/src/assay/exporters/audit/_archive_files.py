"""The files of an archive, a folder that verifies without the database.

- `entries.jsonl`: the entries as `assay.proof.export` has them, with a checkpoint that covers them.
- `payloads.jsonl`: for each quarantine entry, in the same order, `leafIndex` and `payload` (base64).
- `archive.json`, the manifest: the members of `Manifest`, and `type`.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from assay.audit.canonical import encode
from assay.exporters.audit._entry import Row
from assay.exporters.audit._errors import ArchiveError, OpenError, ProofError, VerificationError
from assay.exporters.audit._rows import MALFORMED, canonical_record
from assay.proof.cosignature import Cosignature
from assay.proof.export import verify_export
from assay.proof.json_proof import parse_entry, parse_object
from assay.proof.note import Checkpoint, VerifierKey
from assay.proof.policy import Policy
from assay.proof.tlog_proof import TlogProof
from assay.proof.tree import leaf_hash
from assay.proof.trusted_keys import TrustedKeys
from assay.semconv import attributes as keys

TYPE = "assay.audit.archive/v1"
MANIFEST, ENTRIES, PAYLOADS = "archive.json", "entries.jsonl", "payloads.jsonl"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of an archive.

    Args:
        origin: Name of the log.
        firstLeaf: Its first leaf.
        endLeaf: The leaf after its last.
        olderThan: The sink times of its entries are before this time, RFC 3339.
        checkpointSize: Size of the checkpoint that covers it.
        keys: The verifier keys that signed the checkpoint.
        sha256: SHA-256 of `entries.jsonl` and `payloads.jsonl`, hexadecimal.
    """

    origin: str
    firstLeaf: int  # noqa: N815  the names of the file's members
    endLeaf: int  # noqa: N815
    olderThan: str  # noqa: N815
    checkpointSize: int  # noqa: N815
    keys: list[str]
    sha256: dict[str, str]

    def encode(self) -> bytes:
        """Return the content of the file."""
        members = {"type": TYPE, **asdict(self)}
        return orjson.dumps(members, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    @classmethod
    def parse(cls, text: bytes) -> Manifest:
        """Parse the content of the file.

        Raises:
            ArchiveError: It is malformed.
        """
        try:
            members = parse_object(text)
            if members.pop("type", None) != TYPE:
                raise ArchiveError(f"its type is not {TYPE}")
            manifest = cls(**members)
        except (ProofError, TypeError) as error:
            raise ArchiveError(f"it is malformed: {error}") from error
        # The other members are compared with the files, so only the numbers need their type.
        if {type(manifest.firstLeaf), type(manifest.endLeaf)} != {int}:
            raise ArchiveError("firstLeaf and endLeaf must be numbers")
        return manifest


@dataclass(frozen=True, slots=True)
class VerifiedArchive:
    """The result of a verified archive.

    Args:
        manifest: Its manifest.
        sha256: SHA-256 of its manifest.
        checkpoint: The checkpoint that covers it.
        quarantined: Number of quarantine entries.
        cosignatures: Those of the policy's witnesses on the checkpoint.
    """

    manifest: Manifest
    sha256: bytes
    checkpoint: Checkpoint
    quarantined: int
    cosignatures: tuple[Cosignature, ...]


class ArchiveFile:
    """A file that is written, and the SHA-256 of its content; see `new_file`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def write(self, content: bytes) -> None:
        """Append content."""
        self._file.write(content)
        self._digest.update(content)

    def sha256(self) -> str:
        """Return the SHA-256 of the content, hexadecimal."""
        return self._digest.hexdigest()


@contextmanager
def new_file(path: Path) -> Generator[ArchiveFile]:
    """Create a file, which must not exist. It is on disk when the block ends.

    Raises:
        OSError: It cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield ArchiveFile(file)
        file.flush()
        os.fsync(descriptor)


def payload_line(index: int, payload: bytes) -> bytes:
    """Return the line of a quarantine entry's payload."""
    return orjson.dumps({"leafIndex": index, "payload": base64.b64encode(payload).decode()}) + b"\n"


def verify_archive(
    folder: Path, key: VerifierKey | TrustedKeys, policy: Policy | None = None
) -> VerifiedArchive:
    """Verify an archive with the log's public keys alone. One line at a time is in memory.

    Args:
        folder: Its folder.
        key: The log's verifier key, or several.
        policy: The witnesses that must have cosigned its checkpoint.

    Raises:
        VerificationError: It does not verify, or a file is missing; the message names the file.
        OpenError: A file cannot be read.
    """
    text = b"".join(_lines(folder / MANIFEST))
    try:
        manifest = Manifest.parse(text)
    except ArchiveError as error:
        raise ArchiveError(f"{folder / MANIFEST}: {error}") from error
    entries, payloads = _Hashed(folder / ENTRIES), _Hashed(folder / PAYLOADS)
    checker = _PayloadChecker(manifest.firstLeaf, iter(payloads))
    try:
        found = verify_export(entries, key, policy, checker.check)
        checker.check_end()
    except VerificationError as error:
        raise type(error)(f"{folder}: {error}") from error
    expected = Manifest(
        found.checkpoint.origin,
        found.first,
        found.first + found.count,
        manifest.olderThan,
        found.checkpoint.size,
        manifest.keys,
        {ENTRIES: entries.sha256(), PAYLOADS: payloads.sha256()},
    )
    if manifest != expected:
        raise ArchiveError(f"{folder / MANIFEST}: it differs from the other files: one of them was changed")
    digest = hashlib.sha256(text).digest()
    return VerifiedArchive(manifest, digest, found.checkpoint, found.quarantined, found.cosignatures)


def archive_folders(folder: Path) -> list[Path]:
    """Return the archives in a folder in the order of their leaves, or the folder if it is an archive.

    Raises:
        OpenError: It is neither.
    """
    if (folder / MANIFEST).exists():
        return [folder]
    found = [path.parent for path in folder.glob(f"*/{MANIFEST}")]
    if not found:
        raise OpenError(f"{folder}: neither an archive nor a folder of archives")
    return sorted(found, key=lambda path: (len(path.name.partition("-")[0]), path.name))


def find_archived(folder: Path, entry: str | int) -> TlogProof | None:
    """Return the proof of an entry in an archive, without a verification; None if it does not have the entry.

    Args:
        folder: Folder of the archive.
        entry: Id of a record, or the index of a leaf.

    Raises:
        VerificationError: A line is malformed.
        OpenError: The file cannot be read.
    """
    lines = _lines(folder / ENTRIES)
    note = parse_object(next(lines, b"")).get("checkpoint")
    part = b'"leafIndex":%d,' % entry if isinstance(entry, int) else encode(entry)  # as lines have it
    for line in lines:
        if part in line:
            index, leaf, path = parse_entry(line)
            if entry in (index, _record_id(leaf)):
                return TlogProof(leaf, index, path, str(note))
    return None


def archived_leaves(folder: Path) -> Iterator[tuple[int, bytes]]:
    """Yield index and content of the leaves of an archive, without a verification.

    Raises:
        VerificationError: A line is malformed.
        OpenError: The file cannot be read.
    """
    for number, line in enumerate(_lines(folder / ENTRIES)):
        if number:
            index, leaf, _ = parse_entry(line)
            yield index, leaf


def archived_row(index: int, leaf: bytes) -> Row:
    """Return the row of the table `archived` for a leaf.

    Raises:
        ArchiveError: The leaf is not a log entry.
    """
    try:
        content: dict[str, Any] = orjson.loads(leaf)
        sink_time = int(content["sinkTimeUnixNano"])
        if (entry := content.get("quarantine")) is not None:
            identity = ("quarantine", bytes.fromhex(_digest(entry)), entry["recordId"])
        else:
            identity = ("record", hashlib.sha256(canonical_record(leaf)).digest(), None)
    except MALFORMED as error:
        raise ArchiveError(f"leaf {index}: its content is not a log entry") from error
    return (index, *identity, sink_time, leaf_hash(leaf))


def _record_id(leaf: bytes) -> object:
    try:
        content: dict[str, Any] = orjson.loads(leaf)
        if "quarantine" in content:
            return content["quarantine"]["recordId"]
        return content["record"]["attributes"][keys.AUDIT_RECORD_ID]["stringValue"]
    except MALFORMED as error:
        raise ArchiveError("a leaf is not a log entry: verify the archive") from error


class _PayloadChecker:
    """Checks the payloads of quarantine entries against their leaves.

    Args:
        first: Index of the first leaf.
        lines: Lines of the payloads.
    """

    def __init__(self, first: int, lines: Iterator[bytes]) -> None:
        self._next = first
        self._lines = lines

    def check(self, leaf: dict[str, Any]) -> None:
        """Check the payload of the next leaf, if it is a quarantine entry."""
        index, self._next = self._next, self._next + 1
        if "quarantine" not in leaf:
            return
        line = next(self._lines, None)
        if line is None:
            raise ArchiveError(f"the payload of leaf {index} is missing")
        try:
            payload = parse_object(line)
            content = base64.b64decode(payload["payload"], validate=True)
            is_right = payload.keys() == {"leafIndex", "payload"} and payload["leafIndex"] == index
            is_right &= hashlib.sha256(content).hexdigest() == _digest(leaf["quarantine"])
        except MALFORMED as error:
            raise ArchiveError(f"the payload of leaf {index} is malformed") from error
        if not is_right:
            raise ArchiveError(f"the payload of leaf {index} is not that of its leaf")

    def check_end(self) -> None:
        """Check that no payload is left."""
        if next(self._lines, None) is not None:
            raise ArchiveError(f"{PAYLOADS} has more payloads than {ENTRIES} has quarantine entries")


class _Hashed(Iterable[bytes]):
    """The lines of a file, whose SHA-256 is computed while they are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        for line in _lines(self._path):
            self._digest.update(line)
            yield line

    def sha256(self) -> str:
        return self._digest.hexdigest()


def _digest(entry: dict[str, Any]) -> str:
    """Return the SHA-256 of the payload of a quarantine leaf; schema version 1 stored the payload itself."""
    if "payload" in entry:
        return hashlib.sha256(base64.b64decode(entry["payload"])).hexdigest()
    return entry["payloadSha256"]


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError as error:
        raise ArchiveError(f"{path} is missing: the archive was removed, or is elsewhere") from error
    except OSError as error:
        raise OpenError(f"{path}: cannot be read: {error.strerror}") from error
