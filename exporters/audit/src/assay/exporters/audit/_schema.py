"""The database schema of this version; `_migration` brings an older database to it.

`audit_log` has the columns of the seed (FlowStone ADR-0011 section 5), and the columns that prove them: the
leaf's index and content, the record's integrity hash, the leaf's hash. Quarantine entries are leaves of the
same tree. docs/decisions/0022-the-log-has-one-index.md explains why there is only the index of ids.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from assay.exporters.audit._errors import OpenError, SchemaMismatchError

COLUMNS = (  # those of the seed, in its order
    "id",
    "event_type",
    "actor_id",
    "actor_type",
    "resource_type",
    "resource_id",
    "action",
    "details",
    "correlation_id",
    "client_ip",
    "user_agent",
    "inserted_at",
)
_EXISTS = {  # condition under which an INSERT would replace a row
    "quarantine": "digest = NEW.digest OR leaf_index = NEW.leaf_index",
    "checkpoints": "size = NEW.size",
    "meta": "name = NEW.name",
    "cosignatures": "size = NEW.size AND witness = NEW.witness",
    "witnessed": "size = NEW.size",
    "refusals": "number = NEW.number",
    "archives": "first_leaf = NEW.first_leaf",
    "archived": "leaf_index = NEW.leaf_index",
}
_TABLES = (*_EXISTS, "audit_log", "nodes")
PAGE_BYTES = 8192
_FIRST_KEY = "verifier_key"  # in `meta`: the key that the log was created with

# SQLite keeps the text of each definition, comments included, and `check_definitions` compares it. A change
# of this text is therefore a new version.
_DEFINITIONS = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,      -- origin, verifier_key
    value TEXT NOT NULL
) STRICT;

CREATE TABLE audit_log (
    leaf_index INTEGER PRIMARY KEY,
    id TEXT NOT NULL,           -- unique: the sink looks it up in ids and recent_ids
    event_type TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    actor_type TEXT NOT NULL,
    resource_type TEXT,
    resource_id TEXT,
    action TEXT,
    details TEXT NOT NULL DEFAULT '{}',
    correlation_id TEXT,
    client_ip TEXT,
    user_agent TEXT,
    inserted_at TEXT NOT NULL,  -- RFC 3339, UTC, microseconds
    integrity_hash BLOB NOT NULL,
    leaf TEXT NOT NULL,         -- canonical: record, resource, sink timestamp
    leaf_hash BLOB NOT NULL
) STRICT;

CREATE VIEW flowstone_audit_log AS
SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action, details, correlation_id,
       client_ip, user_agent, inserted_at
FROM audit_log;

CREATE TABLE recent_ids (          -- newest record ids (a UUID as 16 bytes, others as text) to their leaves
    id ANY PRIMARY KEY,
    leaf_index INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE ids (                 -- the older ones, in runs that are each in the order of the ids
    run INTEGER NOT NULL,
    id ANY NOT NULL,
    leaf_index INTEGER NOT NULL,
    PRIMARY KEY (run, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE id_runs (
    run INTEGER PRIMARY KEY,
    size INTEGER NOT NULL          -- number of its ids
) STRICT;

CREATE TABLE quarantine (
    leaf_index INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,   -- SHA-256 of the payload: a batch that comes again is kept once
    kind TEXT NOT NULL,            -- record: ResourceLogs with the one record; batch: bytes nobody could read
    record_id TEXT,
    reason TEXT NOT NULL,
    encoding TEXT NOT NULL,        -- protobuf, json
    payload BLOB NOT NULL,
    inserted_at TEXT NOT NULL,
    sink_time_unix_nano INTEGER NOT NULL,
    leaf TEXT NOT NULL,            -- canonical: the digest and the other columns
    leaf_hash BLOB NOT NULL
) STRICT;

CREATE INDEX idx_quarantine_record ON quarantine (record_id);

CREATE TABLE nodes (               -- roots of complete subtrees, every fourth level
    level INTEGER NOT NULL,
    node_index INTEGER NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (level, node_index)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoints (
    size INTEGER PRIMARY KEY,
    note TEXT NOT NULL             -- signed note, https://c2sp.org/tlog-checkpoint
) STRICT;

CREATE TABLE cosignatures (        -- of witnesses, https://c2sp.org/tlog-cosignature
    size INTEGER NOT NULL,         -- of the checkpoint
    witness TEXT NOT NULL,         -- its name, +, the id of its key
    line TEXT NOT NULL,            -- signature line
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;

CREATE TABLE witnessed (           -- checkpoints that had the quorum of the sink's policy
    size INTEGER PRIMARY KEY
) STRICT;

CREATE TABLE refusals (            -- answers of witnesses that contradict the log: evidence of a fork
    number INTEGER PRIMARY KEY,
    witness TEXT NOT NULL,
    size INTEGER NOT NULL,         -- of the checkpoint
    status INTEGER NOT NULL,       -- of the HTTP answer
    answer TEXT NOT NULL,
    request TEXT NOT NULL,         -- with the checkpoint and the consistency proof
    refused_at TEXT NOT NULL       -- RFC 3339, UTC, microseconds
) STRICT;

CREATE TABLE archives (            -- the oldest entries, which left the tables above
    first_leaf INTEGER PRIMARY KEY,
    end_leaf INTEGER NOT NULL,     -- the leaf after the last
    older_than TEXT NOT NULL,      -- sink time, RFC 3339, UTC, microseconds
    name TEXT NOT NULL,            -- of the archive's folder
    sha256 BLOB NOT NULL,          -- of the archive's manifest
    archived_at TEXT NOT NULL      -- RFC 3339, UTC, microseconds
) STRICT;

CREATE TABLE archived (            -- the hashes of archived entries
    leaf_index INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,            -- record, quarantine
    content_hash BLOB NOT NULL,    -- integrity hash of a record, digest of a quarantine entry
    record_id TEXT,                -- of a quarantine entry; ids has the id of a record
    sink_time_unix_nano INTEGER NOT NULL,
    leaf_hash BLOB NOT NULL
) STRICT;

CREATE INDEX idx_archived_record ON archived (record_id) WHERE record_id IS NOT NULL;

CREATE UNIQUE INDEX idx_archived_quarantine ON archived (content_hash) WHERE kind = 'quarantine';
"""


def _reject(verb: str, table: str) -> str:
    return f"""
CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, 'append-only: no {verb} on {table}'); END;
"""


def _reject_replace(table: str, exists: str) -> str:
    return f"""
CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}
WHEN EXISTS (SELECT 1 FROM {table} WHERE {exists})
BEGIN SELECT RAISE(ABORT, 'append-only: no REPLACE on {table}'); END;
"""  # noqa: S608  names of this module


def guards_against_deletion(table: str) -> tuple[str, str]:
    """Return the statements that drop the trigger against DELETE on a table, and that create it again."""
    return f"DROP TRIGGER {table}_no_delete", _reject("DELETE", table)


def _append_only() -> str:
    """Return the triggers that reject every statement except INSERT.

    The index of ids has none: its runs are merged, and verification compares it with the rows. INSERT OR
    REPLACE deletes a row without firing the DELETE trigger. On `audit_log` and `nodes`, which grow with every
    record, a trigger against it would take as long as the insertion itself. These tables rely on the writer's
    setting `recursive_triggers`; verification finds a row that another connection replaced.
    """
    guards = [_reject(verb, table) for table in _TABLES for verb in ("UPDATE", "DELETE")]
    guards += (_reject_replace(table, exists) for table, exists in _EXISTS.items())
    return "".join(guards)


VERSION = 5
OLDEST_SQLITE = (3, 37)  # STRICT tables
_STATISTICS = {f"table sqlite_stat{number}" for number in (1, 2, 3, 4)}  # ANALYZE creates them


def create(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty database, in one transaction; check an existing database.

    Raises:
        OpenError: The database has another version or other tables, its definitions are changed, or SQLite
            is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise OpenError(f"the log needs SQLite 3.37 or later, this Python has {sqlite3.sqlite_version}")
    if _version(connection):
        check_version(connection)
        try:
            check_definitions(connection)
        except SchemaMismatchError as error:
            raise OpenError(f"the database was changed by another program: {error}") from error
        return
    if connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise OpenError("the database is not an audit log, it has other tables: give the log its own file")
    definitions = _DEFINITIONS + _append_only()
    connection.executescript(f"BEGIN IMMEDIATE; {definitions} PRAGMA user_version = {VERSION}; COMMIT;")


def key_name(key_id: bytes) -> str:
    """Return the name in `meta` of a key that a rotation added to the log."""
    return f"{_FIRST_KEY}.{key_id.hex()}"


def is_key_name(name: str) -> bool:
    """Return whether a name in `meta` is that of a verifier key."""
    return name.partition(".")[0] == _FIRST_KEY


def check_version(connection: sqlite3.Connection) -> None:
    """Check that the database has the schema version that this program reads.

    Raises:
        OpenError: It has another version, or is not an audit log.
    """
    version = _version(connection)
    if version == 0:
        raise OpenError(f"the database is not an audit log, this program reads schema version {VERSION}")
    if version < VERSION:
        raise OpenError(
            f"the log has schema version {version}, this program reads {VERSION}: run assay audit migrate"
        )
    if version > VERSION:
        raise OpenError(f"the log has schema version {version}, this program reads {VERSION}: update it")


def check_definitions(connection: sqlite3.Connection) -> None:
    """Check that tables, indexes, triggers and the view equal those of this version.

    Raises:
        SchemaMismatchError: One is missing, changed, or additional.
    """
    compare_definitions(_definitions(connection), _expected())


def compare_definitions(found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    """Compare the definitions of a database with those of the schema version, by name.

    Raises:
        SchemaMismatchError: One is missing, changed, or additional.
    """
    for name in sorted(expected.keys() | found.keys()):
        if name not in found:
            raise SchemaMismatchError(f"{name} is missing from the database: it was dropped")
        if found[name] != expected.get(name):
            raise SchemaMismatchError(
                f"{name} in the database differs from its definition in this schema version"
            )


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _expected() -> dict[str, str | None]:
    connection = sqlite3.connect(":memory:")
    try:
        create(connection)
        return _definitions(connection)
    finally:
        connection.close()


def _definitions(connection: sqlite3.Connection) -> dict[str, str | None]:
    query = "SELECT type || ' ' || name, sql FROM sqlite_master"
    return {name: sql for name, sql in connection.execute(query) if name not in _STATISTICS}
