"""The transactional outbox: an SQLite file of the events that are accepted and not delivered yet.

Each row is one event for one sink. `add` returns when the rows are on disk. For each sink and subject, rows
are delivered in the order in which they were added. An event that cannot be delivered stays with the
reason, as a dead letter (view `dead_letter`). A delivered event stays for a while without its document, so
that the outbox recognizes it when it arrives again.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from assay.exporters.cdevents._clock import now as clock
from assay.host.private_files import private_database

State = Literal["pending", "sent", "dead"]
_LATEST_DUE = 60.0
"""Seconds after the start by which each entry is due, whatever an earlier process wrote."""

# `due` is 0 until a delivery is postponed, so that setting the clock back delays nothing. It never decreases
# from one row of a subject to the next, so that reading rows by (due, seq) keeps each subject's order.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS delivery (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    subject TEXT NOT NULL,
    chain TEXT NOT NULL,
    document TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'sent', 'dead')),
    attempts INTEGER NOT NULL DEFAULT 0,
    due REAL NOT NULL,
    settled REAL,
    reason TEXT NOT NULL DEFAULT '',
    UNIQUE (sink, id)
);
CREATE INDEX IF NOT EXISTS delivery_due ON delivery (sink, due, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_subject ON delivery (sink, subject, due) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS delivery_settled ON delivery (settled) WHERE state = 'sent';
CREATE INDEX IF NOT EXISTS delivery_dead ON delivery (settled) WHERE state = 'dead';
CREATE INDEX IF NOT EXISTS delivery_chain ON delivery (chain, type, seq);
CREATE TABLE IF NOT EXISTS deployment (
    service TEXT NOT NULL,
    time INTEGER NOT NULL,
    revision TEXT NOT NULL,
    PRIMARY KEY (service, time)
) WITHOUT ROWID;
CREATE VIEW IF NOT EXISTS dead_letter AS
    SELECT seq, sink, id, type, subject, attempts, reason, settled AS died, document
    FROM delivery WHERE state = 'dead';
"""

_ADD = """
INSERT INTO delivery (sink, id, type, subject, chain, document, state, due, settled, reason)
SELECT :sink, :id, :type, :subject, :chain, :document, :state,
    coalesce((SELECT max(due) FROM delivery
        WHERE sink = :sink AND subject = :subject AND state = 'pending'), 0),
    CASE :state WHEN 'dead' THEN :now END, :reason
WHERE true ON CONFLICT (sink, id) DO NOTHING
"""
_ADD_DEPLOYMENT = "INSERT OR IGNORE INTO deployment (service, time, revision) VALUES (?, ?, ?)"
_FORGET_DEPLOYMENTS = """
DELETE FROM deployment WHERE service = ?1 AND time <= (
    SELECT time FROM deployment WHERE service = ?1 ORDER BY time DESC LIMIT 1 OFFSET ?2)
"""


# The state is written out, because SQLite uses a partial index only for a condition that it can compare.
_DELETE_OLD = {
    state: f"DELETE FROM delivery WHERE state = '{state}' AND settled < ?"  # noqa: S608  constants
    for state in ("sent", "dead")
}
_DELETE_BEYOND = {
    state: f"DELETE FROM delivery WHERE state = '{state}' AND settled <= (SELECT settled FROM delivery"  # noqa: S608
    f" WHERE state = '{state}' ORDER BY settled DESC LIMIT 1 OFFSET ?)"
    for state in ("sent", "dead")
}


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """An event for one sink.

    Args:
        sink: Name of the sink; empty for an invalid event, which no sink gets.
        id: The event's id.
        type: The event's type.
        subject: The source and id of the event's subject; entries of one subject are delivered in order.
        chain: `chainId`, or empty.
        document: The structured CloudEvent as JSON text.
        fault: Why the event is invalid, or empty.
        seq: The entry's number in the outbox.
        attempts: Number of deliveries attempted.
    """

    sink: str
    id: str
    type: str
    subject: str
    chain: str
    document: str
    fault: str = ""
    seq: int = 0
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment that changed a service.

    Args:
        service: Identifies the service in its environment.
        time: When it succeeded, in Unix nanoseconds.
        revision: The deployed revision.
    """

    service: str
    time: int
    revision: str


class DeliveryOutbox:
    """An outbox in one file. All methods are thread-safe.

    Args:
        path: The file; its folder must exist.
        deployments: Number of deployments of each service that are kept.

    Raises:
        OSError: Another user owns the file, or it cannot be created.
        sqlite3.Error: The file cannot be opened or is not a database. Every method raises it too when the
            disk is full or fails; that call then changes nothing.
    """

    def __init__(self, path: Path, *, deployments: int = 1000) -> None:
        self._lock = threading.Lock()
        self._kept_deployments = deployments
        private_database(path)
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
            # The system's clock may have been ahead when an earlier process postponed these.
            self._db.execute(
                "UPDATE delivery SET due = ?1 WHERE state = 'pending' AND due > ?1", (clock() + _LATEST_DUE,)
            )
        except sqlite3.Error:
            self._db.close()
            raise

    def add(
        self,
        entries: Iterable[OutboxEntry],
        deployments: Iterable[Deployment] = (),
        *,
        now: float | None = None,
    ) -> list[OutboxEntry]:
        """Write all entries and deployments to disk, or nothing, and return the entries that are new."""
        moment = clock() if now is None else now
        with self._lock, _Transaction(self._db) as db:
            for each in deployments:
                db.execute(_ADD_DEPLOYMENT, (each.service, each.time, each.revision))
                db.execute(_FORGET_DEPLOYMENTS, (each.service, self._kept_deployments))
            return [entry for entry in entries if db.execute(_ADD, _row(entry, moment)).rowcount]

    def deployments(self, service: str) -> list[tuple[int, str]]:
        """Return time (Unix nanoseconds) and revision of a service's deployments, the oldest first."""
        query = "SELECT time, revision FROM deployment WHERE service = ? ORDER BY time"
        return self._rows(query, (service,))

    def due(self, sink: str, limit: int, *, now: float | None = None) -> list[OutboxEntry]:
        """Return at most `limit` entries that are due for a sink, each subject's in order."""
        rows = self._rows(
            "SELECT sink, id, type, subject, chain, document, '', seq, attempts FROM delivery"
            " WHERE sink = ? AND state = 'pending' AND due <= ? ORDER BY due, seq LIMIT ?",
            (sink, clock() if now is None else now, limit),
        )
        return [OutboxEntry(*row) for row in rows]

    def next_due(self, sink: str) -> float | None:
        """Return when a sink's next entry is due, in Unix seconds; None if it has no pending entry."""
        query = "SELECT min(due) FROM delivery WHERE sink = ? AND state = 'pending'"
        return self._rows(query, (sink,))[0][0]

    def mark_sent(self, entries: Sequence[OutboxEntry]) -> None:
        """Mark entries as delivered and delete their documents."""
        with self._lock, _Transaction(self._db) as db:
            db.executemany(
                "UPDATE delivery SET state = 'sent', settled = ?, document = '', attempts = attempts + 1"
                " WHERE seq = ?",
                [(clock(), entry.seq) for entry in entries],
            )

    def mark_dead(self, entry: OutboxEntry, reason: str) -> None:
        """Make an entry a dead letter, with the reason."""
        with self._lock, _Transaction(self._db) as db:
            db.execute(
                "UPDATE delivery SET state = 'dead', settled = ?, reason = ?, attempts = attempts + 1"
                " WHERE seq = ?",
                (clock(), reason, entry.seq),
            )

    def postpone(self, entry: OutboxEntry, due: float) -> None:
        """Postpone an entry, and the later ones of its subject, to `due` (Unix seconds)."""
        with self._lock, _Transaction(self._db) as db:
            db.execute("UPDATE delivery SET attempts = attempts + 1 WHERE seq = ?", (entry.seq,))
            db.execute(
                "UPDATE delivery SET due = max(due, ?) WHERE sink = ? AND subject = ? AND state = 'pending'",
                (due, entry.sink, entry.subject),
            )

    def has(self, sink: str, event_id: str) -> bool:
        """Return whether an event was added for a sink and is not a dead letter."""
        query = "SELECT 1 FROM delivery WHERE sink = ? AND id = ? AND state != 'dead'"
        return bool(self._rows(query, (sink, event_id)))

    def head(self, chain: str, types: Sequence[str], sink: str) -> str:
        """Return the id of the newest event of a chain for a sink, trying types from last to first.

        Dead letters are left out. Empty if there is none.
        """
        for event_type in reversed(types):
            rows = self._rows(
                "SELECT id FROM delivery WHERE chain = ? AND type = ? AND sink = ? AND state != 'dead'"
                " ORDER BY seq DESC LIMIT 1",
                (chain, event_type, sink),
            )
            if rows:
                return rows[0][0]
        return ""

    def prune(self, state: Literal["sent", "dead"], *, older_than: float, keep: int) -> int:
        """Delete entries of a state from before `older_than` (Unix seconds), and all but the newest `keep`.

        Returns:
            The number of deleted entries.
        """
        with self._lock, _Transaction(self._db) as db:
            old = db.execute(_DELETE_OLD[state], (older_than,)).rowcount
            return old + db.execute(_DELETE_BEYOND[state], (keep,)).rowcount

    def revive(self, sink: str | None) -> int:
        """Make dead letters pending again, and return how many.

        Invalid events, which belong to no sink, stay dead.

        Args:
            sink: Name of the sink whose dead letters are meant; None for all.
        """
        with self._lock, _Transaction(self._db) as db:
            return db.execute(
                "UPDATE delivery SET state = 'pending', attempts = 0, due = 0, settled = NULL, reason = ''"
                " WHERE state = 'dead' AND sink <> '' AND sink = coalesce(?, sink)",
                (sink,),
            ).rowcount

    def counts(self) -> dict[tuple[str, State], int]:
        """Return the number of entries of each sink in each state."""
        rows = self._rows("SELECT sink, state, count(*) FROM delivery GROUP BY sink, state", ())
        return {(sink, state): count for sink, state, count in rows}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _rows(self, query: str, parameters: tuple[object, ...]) -> list[Any]:
        with self._lock:
            return self._db.execute(query, parameters).fetchall()


class _Transaction:
    """A context manager of one transaction, which is rolled back if anything fails, the commit included."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> sqlite3.Connection:
        self._db.execute("BEGIN IMMEDIATE")
        return self._db

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # After some errors, such as a full disk, SQLite has ended the transaction already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _row(entry: OutboxEntry, now: float) -> dict[str, object]:
    return {
        "sink": entry.sink,
        "id": entry.id,
        "type": entry.type,
        "subject": entry.subject,
        "chain": entry.chain,
        "document": entry.document,
        "state": "dead" if entry.fault else "pending",
        "reason": entry.fault,
        "now": now,
    }
