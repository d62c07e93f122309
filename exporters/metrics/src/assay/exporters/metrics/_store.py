"""The durable sums: an SQLite file with the series, and the newest points of the processes.

A batch is one transaction, so it is added whole or not at all, and adding it again changes nothing. Totals in
memory change only after the commit: a scrape never shows a value that a crash could take back, which
Prometheus would count as a restart.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, time
from typing import Literal, TypeAlias

from assay.exporters.metrics._points import Family, Labels, Point, Vector
from assay.exporters.metrics._processes import Process, Stream, load
from assay.exporters.metrics._series import Series, plus
from assay.exporters.metrics.errors import StoreError
from assay.host.private_files import private_database

Refused: TypeAlias = Literal["limit", "conflict"]
SEEN_SECONDS = 3600.0
"""How far `seen` in the database may lag behind, so that an unchanged series is not always written."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS family (
    name TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    help TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    family TEXT NOT NULL REFERENCES family,
    labels TEXT NOT NULL,
    bounds TEXT NOT NULL,
    total TEXT NOT NULL,
    seen REAL NOT NULL,
    shown REAL,
    started INTEGER NOT NULL DEFAULT 0,
    UNIQUE (family, labels)
);
CREATE TABLE IF NOT EXISTS process (
    id BLOB PRIMARY KEY,
    seen REAL NOT NULL,
    streams TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS process_seen ON process (seen);
"""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the store.

    Args:
        series: Number of series.
        process_seconds: Seconds after which a silent process is forgotten.
        series_seconds: Seconds after which a series that no process reports is removed.
        zero_seconds: Seconds for which a new series is scraped as 0.
    """

    series: int
    process_seconds: float
    series_seconds: float
    zero_seconds: float


@dataclass(slots=True)
class _Changes:
    """The changes of one batch, which become visible after the commit."""

    created: dict[tuple[str, Labels], Series] = field(default_factory=dict[tuple[str, Labels], Series])
    families: dict[str, Family] = field(default_factory=dict[str, Family])
    totals: dict[int, Vector] = field(default_factory=dict[int, Vector])
    reported: dict[int, tuple[Series, list[Point]]] = field(
        default_factory=dict[int, tuple[Series, list[Point]]]
    )
    refused: dict[Refused, int] = field(default_factory=dict[Refused, int])


class SeriesStore:
    """Sums of counters, histograms and summaries in one file. All methods are thread-safe.

    Args:
        path: The file; its folder must exist. One process at a time can open it.
        limits: The bounds.

    Raises:
        StoreError: The file cannot be opened, or another process has it open.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._opened = monotonic()
        try:
            private_database(path)
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5)
            try:
                # The lock is held until the file is closed: two hosts with one file would each show a part.
                self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                self._db.executescript(_SCHEMA)
                self._families = self._load_families()
                self._series = self._load_series()
            except BaseException:
                self._db.close()
                raise
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot open the database {path}: {error}; one exporter can use a file at a time"
            ) from error
        except OSError as error:
            raise StoreError(f"cannot open the database: {error}") from error

    def add(self, points: Iterable[Point], *, now: float | None = None) -> Mapping[Refused, int]:
        """Add points on disk, all or none, and return how many were refused.

        Args:
            points: Counters, histograms and summaries.
            now: Unix time in seconds.

        Raises:
            sqlite3.Error: The disk is full or fails; nothing was added.
        """
        moment = time() if now is None else now
        by_process: dict[bytes, list[Point]] = {}
        for point in points:
            by_process.setdefault(point.process, []).append(point)
        if not by_process:
            return {}
        changes = _Changes()
        with self._lock:
            with _Transaction(self._db):
                for process, its_points in by_process.items():
                    self._add_process(process, its_points, changes, moment)
                self._write_totals(changes, moment)
            self._publish(changes, moment)
        return changes.refused

    def snapshot(self, *, scraper: bool, now: float | None = None) -> list[Series]:
        """Return the series with their totals.

        Args:
            scraper: Whether Prometheus asks. It gets a new series as 0 for a while: without that 0,
                `increase()` would not include the first value.
            now: Unix time in seconds.

        Raises:
            sqlite3.Error: The disk is full or fails.
        """
        moment = time() if now is None else now
        with self._lock:
            if scraper:
                self._release(moment)
            return [
                replace(one, exemplars=dict(one.exemplars))
                if one.started or not scraper
                else replace(one, total=(0,) * len(one.total), exemplars={})
                for one in self._series.values()
            ]

    def prune(self, *, now: float | None = None, running: float | None = None) -> None:
        """Forget silent processes, and remove series that no process reports.

        Nothing is removed before this store has been open for as long: while it was closed, a Collector kept
        what the processes sent.

        Args:
            now: Unix time in seconds.
            running: Seconds since the store was opened.

        Raises:
            sqlite3.Error: The disk is full or fails.
        """
        moment = time() if now is None else now
        opened = monotonic() - self._opened if running is None else running
        with self._lock:
            if opened >= self._limits.process_seconds:
                limit = moment - self._limits.process_seconds
                self._db.execute("DELETE FROM process WHERE seen < ?", (limit,))
            if opened >= self._limits.series_seconds:
                limit = moment - self._limits.series_seconds
                idle = [key for key, one in self._series.items() if one.seen < limit]
                with _Transaction(self._db):
                    self._db.executemany(
                        "DELETE FROM series WHERE id = ?", [(self._series[key].id,) for key in idle]
                    )
                for key in idle:
                    del self._series[key]

    def counts(self) -> tuple[int, int]:
        """Return the number of series and of known processes."""
        with self._lock:
            return len(self._series), self._db.execute("SELECT count(*) FROM process").fetchone()[0]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _load_families(self) -> dict[str, Family]:
        rows = self._db.execute("SELECT name, kind, help FROM family")
        return {name: Family(name, kind, text) for name, kind, text in rows}

    def _load_series(self) -> dict[tuple[str, Labels], Series]:
        rows = self._db.execute("SELECT id, family, labels, bounds, total, seen, shown, started FROM series")
        loaded = [
            Series(
                number,
                self._families[family],
                tuple((name, value) for name, value in json.loads(labels)),
                tuple(json.loads(bounds)),
                tuple(json.loads(total)),
                seen,
                shown,
                bool(started),
            )
            for number, family, labels, bounds, total, seen, shown, started in rows
        ]
        return {(one.family.name, one.labels): one for one in loaded}

    def _add_process(self, process: bytes, points: Iterable[Point], changes: _Changes, now: float) -> None:
        row = self._db.execute("SELECT streams FROM process WHERE id = ?", (process,)).fetchone()
        state = load(row[0]) if row else Process(baseline_after=round(self._limits.process_seconds * 1e9))
        for point in points:
            series = self._find(point, changes, now)
            if isinstance(series, Series):
                vector = series.fit(point)
                counted = state.advance(series.id, Stream(point.start, point.time, vector))
                total = changes.totals.get(series.id, series.total)
                changes.totals[series.id] = plus(total, counted)
                changes.reported.setdefault(series.id, (series, []))[1].append(point)
            else:
                changes.refused[series] = changes.refused.get(series, 0) + 1
        if state.changed:
            self._db.execute("INSERT OR REPLACE INTO process VALUES (?, ?, ?)", (process, now, state.dump()))
        else:
            self._db.execute("UPDATE process SET seen = ? WHERE id = ?", (now, process))

    def _find(self, point: Point, changes: _Changes, now: float) -> Series | Refused:
        """Return the series of a point; create it if it is new and there is room."""
        key = (point.family.name, point.labels)
        found = self._series.get(key) or changes.created.get(key)
        family = self._families.get(point.family.name) or changes.families.get(point.family.name)
        if family is not None and family.kind != point.family.kind:
            return "conflict"
        if found is not None:
            return found
        if len(self._series) + len(changes.created) >= self._limits.series:
            return "limit"
        if family is None:
            family = changes.families[point.family.name] = point.family
            self._db.execute("INSERT INTO family VALUES (?, ?, ?)", (family.name, family.kind, family.help))
        zeros = (0,) * len(point.vector)
        cursor = self._db.execute(
            "INSERT INTO series (family, labels, bounds, total, seen) VALUES (?, ?, ?, ?, ?)",
            (family.name, json.dumps(point.labels), json.dumps(point.bounds), json.dumps(zeros), now),
        )
        made = Series(cursor.lastrowid or 0, family, point.labels, point.bounds, zeros, now)
        changes.created[key] = made
        return made

    def _write_totals(self, changes: _Changes, now: float) -> None:
        self._db.executemany(
            "UPDATE series SET total = ?, seen = ? WHERE id = ?",
            [
                (json.dumps(changes.totals[number]), now, number)
                for number, (series, _) in changes.reported.items()
                if changes.totals[number] != series.total or now - series.seen > SEEN_SECONDS
            ],
        )

    def _publish(self, changes: _Changes, now: float) -> None:
        self._families.update(changes.families)
        self._series.update(changes.created)
        for number, (series, points) in changes.reported.items():
            series.total = changes.totals[number]
            series.seen = now
            for point in points:
                series.keep_exemplars(point)

    def _release(self, now: float) -> None:
        """Mark the series that are scraped for the first time, and those that have been 0 for long enough."""
        first = [one for one in self._series.values() if one.shown is None]
        due = [
            one
            for one in self._series.values()
            if one.shown is not None and not one.started and now - one.shown >= self._limits.zero_seconds
        ]
        if not first and not due:
            return
        with _Transaction(self._db):
            self._db.executemany("UPDATE series SET shown = ? WHERE id = ?", [(now, one.id) for one in first])
            self._db.executemany("UPDATE series SET started = 1 WHERE id = ?", [(one.id,) for one in due])
        for one in first:
            one.shown = now
        for one in due:
            one.started = True


class _Transaction:
    """A context manager of one transaction, which is rolled back if anything fails, the commit included."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            # After some errors, such as a full disk, SQLite has ended the transaction already.
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
