"""Check the columns and hashes of one stored entry against its leaf."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Generator
from operator import itemgetter

import orjson

from assay.audit.canonical import Content
from assay.exporters.audit import _schema
from assay.exporters.audit._entry import QuarantineEntry, Row, columns, timestamp
from assay.exporters.audit._errors import RecordMismatchError, named, shortened
from assay.exporters.audit._id_product import IdProduct
from assay.exporters.audit._sequence import Chains, Links
from assay.exporters.audit._storage import Reader
from assay.proof.tree import leaf_hash
from assay.semconv import attributes as keys

RECORDS = f"""SELECT leaf_index, {", ".join(_schema.COLUMNS)}, integrity_hash, CAST(leaf AS BLOB), leaf_hash
              FROM audit_log WHERE leaf_index BETWEEN ? AND ? ORDER BY leaf_index"""  # noqa: S608  our own names
QUARANTINE = """SELECT leaf_index, digest, kind, record_id, reason, encoding, payload, inserted_at,
                sink_time_unix_nano, CAST(leaf AS BLOB), leaf_hash FROM quarantine
                WHERE leaf_index BETWEEN ? AND ? ORDER BY leaf_index"""
ARCHIVED = """SELECT leaf_index, kind, content_hash, record_id, sink_time_unix_nano, leaf_hash FROM archived
              WHERE leaf_index BETWEEN ? AND ? ORDER BY leaf_index"""
_NO_END = 1 << 63  # above the largest integer of SQLite and PostgreSQL
_WIDTH = len(_schema.COLUMNS) + 4  # columns of `RECORDS`
_ARCHIVED_WIDTH = 6
_RECORD, _INTEGRITY, _RESOURCE = b'{"record":', b'{"integrity":', b',"resource":'
_OBJECT, _CLOSED = _RECORD + b"{", b"}"
# Errors that the content of a forged row may cause in any check.
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, OSError)
_DECODER = json.JSONDecoder()
_MEMBERS = 3  # of the leaf of a record without a signature: record, resource, sink time
# Bound once, because they are needed for every record.
_RECORD_ID = keys.AUDIT_RECORD_ID
_SEQUENCE_NUMBER = keys.AUDIT_SEQUENCE_NUMBER
_sha256 = hashlib.sha256


def live_entries(log: Reader, first: int) -> Generator[Row]:
    """Yield the rows of the entries from a leaf on that the database contains, in the order of leaves."""
    span = (first, _NO_END - 1)
    records, quarantine = log.stream(RECORDS, span), log.stream(QUARANTINE, span, 1)
    yield from heapq.merge(records, quarantine, key=itemgetter(0))


def entries(log: Reader, first: int, end: int = _NO_END) -> Generator[Row]:
    """Yield the rows of all entries from `first` to `end - 1`, archived ones too, in the order of leaves."""
    span = (first, end - 1)
    tables = [log.stream(RECORDS, span), log.stream(QUARANTINE, span, 1), log.stream(ARCHIVED, span)]
    yield from heapq.merge(*tables, key=itemgetter(0))


class RowChecker:
    """Checks rows of `RECORDS`, `QUARANTINE` and `ARCHIVED`, and collects what concerns several of them.

    Args:
        log: The log that the rows are from.
        ids: Receives the ids of the checked records.
        chains: Receives the checked records that have a sequence number.
    """

    def __init__(self, log: Reader, ids: IdProduct, chains: Chains | Links) -> None:
        self._log = log
        self._key_of = log.key_of
        self.ids = ids
        self._chains = chains
        # Records of one batch have the same resource and sink time, at the end of their leaves.
        self._end = b""
        self._resource: Content = {}
        self._inserted_at = ""

    def check(self, row: Row) -> None:
        """Check an entry. The hash of an archived one is proven by the tree.

        Raises:
            RecordMismatchError: A column or a hash differs from the leaf.
        """
        try:
            if len(row) == _WIDTH:
                self._check_record(row)
            elif len(row) != _ARCHIVED_WIDTH:
                _check_quarantined(row)
        except MALFORMED as error:
            raise RecordMismatchError(f"{title(row)}: its content is not a log entry") from error

    def _check_record(self, row: Row) -> None:
        integrity_hash, leaf, stored_hash = row[-3:]
        if _sha256(b"\x00" + leaf).digest() != stored_hash:  # `leaf_hash`, without its call
            raise RecordMismatchError(f"{title(row)}: leaf_hash is not the hash of its content")
        record, canonical = self._read(leaf)
        logged = columns(record, self._inserted_at)
        stored, expected = row[1:-3], logged
        if stored != expected and stored != (expected := self._as_stored(logged)):
            column, found, said = next(
                each for each in zip(_schema.COLUMNS, stored, expected, strict=True) if each[1] != each[2]
            )
            raise RecordMismatchError(
                f"{title(row)}: {column} is {shortened(found)}, the record says {shortened(said)}"
            )
        digest = _sha256(canonical).digest()
        if digest != integrity_hash:
            raise RecordMismatchError(f"{title(row)}: integrity_hash is not the hash of its content")
        self.add(row[0], record, self._resource, digest)

    def _read(self, leaf: bytes) -> tuple[Content, bytes]:
        """Return the record of a leaf, and its canonical form; keep the resource and the sink time."""
        if self._end and leaf.endswith(self._end) and leaf.startswith(_OBJECT):
            # Another leaf has this end. Before it, this one has `{"record":` and an object, and nothing else.
            canonical = leaf[len(_RECORD) : len(_CLOSED) - len(self._end)]
            if (found := _object(canonical)) is not None:
                return found, canonical
        content: Content = orjson.loads(leaf)
        record, canonical = content["record"], canonical_record(leaf)
        self._inserted_at = timestamp(int(content["sinkTimeUnixNano"]))
        self._resource = content["resource"]
        is_whole = (
            len(content) == _MEMBERS
            and leaf.startswith(_OBJECT)
            and canonical.endswith(_CLOSED)
            and _object(canonical) is not None
        )
        self._end = leaf[len(_RECORD) + len(canonical) - len(_CLOSED) :] if is_whole else b""
        return record, canonical

    def add(self, index: int, record: Content, resource: Content, integrity_hash: bytes) -> None:
        """Add a record that was checked to what concerns several records.

        Args:
            index: Its leaf index.
            record: Its content.
            resource: Its resource, as in the leaf.
            integrity_hash: SHA-256 of its canonical form.
        """
        attributes = record["attributes"]
        self.ids.add(self._key_of(attributes[_RECORD_ID]["stringValue"]), index)
        if _SEQUENCE_NUMBER in attributes:
            self._chains.add(record, resource, integrity_hash)

    def _as_stored(self, values: Row) -> Row:
        return tuple(self._log.text(value) if isinstance(value, str) else value for value in values)


def title(row: Row) -> str:
    """Return the name of an entry for a message."""
    if len(row) == _WIDTH:
        return f"record {named(row[1])} (leaf {named(row[0])})"
    if len(row) == _ARCHIVED_WIDTH:
        return f"archived entry (leaf {named(row[0])})"
    return f"quarantine entry of record {named(row[3]) if row[3] else 'without an id'} (leaf {named(row[0])})"


def _check_quarantined(row: Row) -> None:
    _, digest, kind, record_id, reason, encoding, payload, inserted_at, sink_time, leaf, stored_hash = row
    entry = QuarantineEntry(kind, reason, encoding, payload, record_id)
    if leaf_hash(leaf) != stored_hash:
        raise RecordMismatchError(f"{title(row)}: leaf_hash is not the hash of its content")
    if leaf not in (entry.leaf(sink_time), entry.first_leaf(sink_time)):
        raise RecordMismatchError(f"{title(row)}: a column differs from its leaf")
    if digest != entry.digest or inserted_at != timestamp(sink_time):
        raise RecordMismatchError(f"{title(row)}: its digest or inserted_at differs from its leaf")


def _object(text: bytes) -> Content | None:
    """Return the object of a text that has its braces; None if the text is not one object."""
    try:
        return orjson.loads(text)
    except ValueError:
        return None


def canonical_record(leaf: bytes) -> bytes:
    """Return the record's canonical form, which is a part of the leaf."""
    # Inside a string the quotes would be escaped, so each match is an object key. If there is only one, it is
    # the key that follows the record.
    end = leaf.find(_RESOURCE)
    if end == leaf.rfind(_RESOURCE) and leaf.startswith(_RECORD):
        return leaf[len(_RECORD) : end]
    text, start = leaf.decode(), len(_RECORD)
    if not leaf.startswith(_RECORD):
        start += _DECODER.raw_decode(text, len(_INTEGRITY))[1]
    return text[start : _DECODER.raw_decode(text, start)[1]].encode()
