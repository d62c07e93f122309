"""The outbox: what has been accepted and is not delivered yet, in an SQLite file.

Every row is one event for one sink. `add` returns when the rows are on disk; a sink's rows leave it in the
order in which they came, for each subject. What cannot be delivered stays, with the reason, as a dead letter
(view `dead_letter`). What was delivered stays for a while without its document, so that an event which comes
again is known.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Literal

State = Literal["pending", "sent", "dead"]

# `due` is 0 until a delivery is put off, so that a clock which is set back delays nothing; and it never falls
# from one row of a subject to the next, so that whoever takes rows by (due, seq) keeps each subject's order.
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
CREATE INDEX IF NOT EXISTS delivery_chain ON delivery (chain, type, seq);
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


@dataclass(frozen=True, slots=True)
class Letter:
    """An event for a sink.

    Args:
        sink: Name of the sink; empty for an event that is for none, because it is not valid.
        id: The event's id.
        type: The event's type.
        subject: What order is kept for: the subject's source and id.
        chain: `chainId`, or empty.
        document: The structured CloudEvent as JSON text.
        fault: Why it can never be sent; empty: it can.
        seq: Its number in the outbox.
        attempts: How often it was tried.
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


class Outbox:
    """An outbox in one file. Its methods may be called from any thread.

    Args:
        path: The file; its folder must exist.

    Raises:
        sqlite3.Error: The file cannot be opened, or is no database. So do all methods, when the disk is full
            or fails; nothing of that call is then kept.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)
        except sqlite3.Error:
            self._db.close()
            raise

    def add(self, letters: Iterable[Letter], *, now: float | None = None) -> list[Letter]:
        """Put letters on disk, all or none, and return those that were not there before."""
        moment = time() if now is None else now
        with self._lock, _Transaction(self._db) as db:
            return [letter for letter in letters if db.execute(_ADD, _row(letter, moment)).rowcount]

    def due(self, sink: str, limit: int, *, now: float | None = None) -> list[Letter]:
        """Return what is to be sent to a sink now, each subject's letters in order."""
        rows = self._rows(
            "SELECT sink, id, type, subject, chain, document, '', seq, attempts FROM delivery"
            " WHERE sink = ? AND state = 'pending' AND due <= ? ORDER BY due, seq LIMIT ?",
            (sink, time() if now is None else now, limit),
        )
        return [Letter(*row) for row in rows]

    def next_due(self, sink: str) -> float | None:
        """Return when a sink's next letter is due, in Unix seconds, or None when it has none."""
        query = "SELECT min(due) FROM delivery WHERE sink = ? AND state = 'pending'"
        return self._rows(query, (sink,))[0][0]

    def sent(self, letters: Sequence[Letter]) -> None:
        """Keep that letters were delivered, and forget what they said."""
        with self._lock, _Transaction(self._db) as db:
            db.executemany(
                "UPDATE delivery SET state = 'sent', settled = ?, document = '', attempts = attempts + 1"
                " WHERE seq = ?",
                [(time(), letter.seq) for letter in letters],
            )

    def dead(self, letter: Letter, reason: str) -> None:
        """Give a letter up."""
        with self._lock, _Transaction(self._db) as db:
            db.execute(
                "UPDATE delivery SET state = 'dead', settled = ?, reason = ?, attempts = attempts + 1"
                " WHERE seq = ?",
                (time(), reason, letter.seq),
            )

    def later(self, letter: Letter, due: float) -> None:
        """Try a letter again at `due` (Unix seconds), and all that waits behind it for the same subject."""
        with self._lock, _Transaction(self._db) as db:
            db.execute("UPDATE delivery SET attempts = attempts + 1 WHERE seq = ?", (letter.seq,))
            db.execute(
                "UPDATE delivery SET due = max(due, ?) WHERE sink = ? AND subject = ? AND state = 'pending'",
                (due, letter.sink, letter.subject),
            )

    def head(self, chain: str, types: Sequence[str]) -> str:
        """Return the id of the newest event in a chain of the last of these types that it has, or empty."""
        for event_type in reversed(types):
            rows = self._rows(
                "SELECT id FROM delivery WHERE chain = ? AND type = ? ORDER BY seq DESC LIMIT 1",
                (chain, event_type),
            )
            if rows:
                return rows[0][0]
        return ""

    def prune(self, *, older_than: float, keep: int) -> None:
        """Forget letters delivered before `older_than` (Unix seconds), and all but the newest `keep`."""
        with self._lock, _Transaction(self._db) as db:
            db.execute("DELETE FROM delivery WHERE state = 'sent' AND settled < ?", (older_than,))
            db.execute(
                "DELETE FROM delivery WHERE state = 'sent' AND settled <= (SELECT settled FROM delivery"
                " WHERE state = 'sent' ORDER BY settled DESC LIMIT 1 OFFSET ?)",
                (keep,),
            )

    def counts(self) -> dict[tuple[str, State], int]:
        """Return how many letters each sink has in each state."""
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
    """`BEGIN IMMEDIATE` … `COMMIT`; rolled back whole when anything fails, the commit included."""

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
            # SQLite ends the transaction itself after some errors, such as a full disk.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _row(letter: Letter, now: float) -> dict[str, object]:
    return {
        "sink": letter.sink,
        "id": letter.id,
        "type": letter.type,
        "subject": letter.subject,
        "chain": letter.chain,
        "document": letter.document,
        "state": "dead" if letter.fault else "pending",
        "reason": letter.fault,
        "now": now,
    }
