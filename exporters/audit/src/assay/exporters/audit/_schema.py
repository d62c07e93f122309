"""The database schema as a list of forward migrations.

`audit_log` has the columns and indexes of the seed (FlowStone ADR-0011 section 5), and the columns that prove
them: the leaf's index and content, the record's integrity hash, the leaf's hash. Quarantine entries are
leaves of the same tree.
"""

from __future__ import annotations

import sqlite3

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
}
_TABLES = ("audit_log", "quarantine", "nodes", "checkpoints", "meta")

# SQLite keeps the text of each definition, comments included, and `check_definitions` compares it. A released
# migration is therefore never edited.
_FIRST = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,      -- origin, verifier_key
    value TEXT NOT NULL
) STRICT;

CREATE TABLE audit_log (
    leaf_index INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
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

CREATE INDEX idx_audit_event_type ON audit_log (event_type);
CREATE INDEX idx_audit_actor ON audit_log (actor_id, actor_type);
CREATE INDEX idx_audit_resource ON audit_log (resource_type, resource_id);
CREATE INDEX idx_audit_correlation ON audit_log (correlation_id);
CREATE INDEX idx_audit_inserted ON audit_log (inserted_at DESC);

CREATE VIEW flowstone_audit_log AS
SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action, details, correlation_id,
       client_ip, user_agent, inserted_at
FROM audit_log;

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


def _append_only() -> str:
    """Return the triggers that reject every statement except INSERT.

    INSERT OR REPLACE deletes a row without firing the DELETE trigger. On `audit_log` and `nodes`, which grow
    with every record, a trigger against it would take as long as the insertion itself. These two tables
    rely on the writer's setting `recursive_triggers`; verification finds a row that another connection
    replaced.
    """
    guards = [_reject(verb, table) for table in _TABLES for verb in ("UPDATE", "DELETE")]
    guards += (_reject_replace(table, exists) for table, exists in _EXISTS.items())
    return "".join(guards)


MIGRATIONS = (_FIRST + _append_only(),)
VERSION = len(MIGRATIONS)
OLDEST_SQLITE = (3, 37)  # STRICT tables


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate a database to the newest schema version, in one transaction.

    Raises:
        OpenError: The database is newer than this program or has other tables, or SQLite is too old.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise OpenError(f"the log needs SQLite 3.37 or later, this Python has {sqlite3.sqlite_version}")
    version = _version(connection)
    if version == VERSION:
        return
    if version > VERSION:
        raise OpenError(f"the log has schema version {version}, this program supports {VERSION}: update it")
    if version == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone():
        raise OpenError("the database is not an audit log, it has other tables: give the log its own file")
    steps = "".join(MIGRATIONS[version:])
    connection.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")


def check_version(connection: sqlite3.Connection) -> None:
    """Check that the database has the schema version that this program reads.

    Raises:
        OpenError: It has another version, or is not an audit log.
    """
    version = _version(connection)
    if version != VERSION:
        kind = "not an audit log" if version == 0 else f"of schema version {version}"
        raise OpenError(f"the database is {kind}, this program reads version {VERSION}")


def check_definitions(connection: sqlite3.Connection) -> None:
    """Check that tables, indexes, triggers and the view equal those that the migrations create.

    Raises:
        SchemaMismatchError: One is missing, changed, or additional.
    """
    found, expected = _definitions(connection), _expected()
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
        migrate(connection)
        return _definitions(connection)
    finally:
        connection.close()


def _definitions(connection: sqlite3.Connection) -> dict[str, str | None]:
    # ANALYZE creates sqlite_stat1 and similar tables.
    query = (
        "SELECT type || ' ' || name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_stat%' ESCAPE '\\'"
    )
    return dict(connection.execute(query).fetchall())
