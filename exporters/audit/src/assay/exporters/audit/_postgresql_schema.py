"""The PostgreSQL schema of this version: tables, the seed's indexes and view, triggers, and roles.

The tables have the names and columns of the SQLite schema, so that most statements serve both. The text
columns of the seed are not limited in length; an index row is, so the indexes contain the first `PREFIX`
characters.
"""

from __future__ import annotations

import json
import re
from importlib import resources
from typing import Any

import psycopg

from assay.exporters.audit._errors import OpenError
from assay.exporters.audit._schema import compare_definitions

VERSION = 3
OLDEST_SERVER = 150000
PREFIX = 256
WRITER, READER = "assay_audit_writer", "assay_audit_reader"
# ruff: noqa: S608  names and numbers of this module
_WRITTEN = (  # by sinks
    *("meta", "audit_log", "ids", "quarantine", "nodes", "checkpoints"),
    *("cosignatures", "witnessed", "refusals"),
)
_ARCHIVE = ("archives", "archived")  # written by the owner
TABLES = ("schema_version", *_WRITTEN, *_ARCHIVE)
_VIEW = "flowstone_audit_log"
_DEFINITIONS_FILE = "postgresql-definitions.json"

_VERSION_1 = rf"""
CREATE TABLE schema_version (version integer PRIMARY KEY);

CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);

CREATE TABLE audit_log (
    leaf_index bigint PRIMARY KEY,
    id text NOT NULL,
    event_type text NOT NULL,
    actor_id text NOT NULL,
    actor_type text NOT NULL,
    resource_type text,
    resource_id text,
    action text,
    details text NOT NULL,
    correlation_id text,
    client_ip text,
    user_agent text,
    inserted_at timestamptz NOT NULL,
    integrity_hash bytea NOT NULL,
    leaf text NOT NULL,
    leaf_hash bytea NOT NULL
);
CREATE INDEX idx_audit_event_type ON audit_log (left(event_type, {PREFIX}));
CREATE INDEX idx_audit_actor ON audit_log (left(actor_id, {PREFIX}), left(actor_type, {PREFIX}));
CREATE INDEX idx_audit_resource ON audit_log (left(resource_type, {PREFIX}), left(resource_id, {PREFIX}));
CREATE INDEX idx_audit_correlation ON audit_log (left(correlation_id, {PREFIX}));
CREATE INDEX idx_audit_inserted ON audit_log (inserted_at DESC);

CREATE VIEW flowstone_audit_log AS
SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action,
       replace(details, '\u0000', '\u2400')::jsonb AS details,
       correlation_id, split_part(client_ip, '%', 1)::inet AS client_ip, user_agent, inserted_at
FROM audit_log;

CREATE TABLE ids (key bytea PRIMARY KEY, leaf_index bigint NOT NULL);

CREATE TABLE quarantine (
    leaf_index bigint PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    kind text NOT NULL,
    record_id text,
    reason text NOT NULL,
    encoding text NOT NULL,
    payload bytea NOT NULL,
    inserted_at timestamptz NOT NULL,
    sink_time_unix_nano bigint NOT NULL,
    leaf text NOT NULL,
    leaf_hash bytea NOT NULL
);
CREATE INDEX idx_quarantine_record ON quarantine USING hash (record_id);

CREATE TABLE nodes (
    level integer NOT NULL,
    node_index bigint NOT NULL,
    hash bytea NOT NULL,
    PRIMARY KEY (level, node_index)
);

CREATE TABLE checkpoints (size bigint PRIMARY KEY, note text NOT NULL);

CREATE TABLE cosignatures (
    size bigint NOT NULL,
    witness text NOT NULL,
    line text NOT NULL,
    PRIMARY KEY (size, witness)
);

CREATE TABLE witnessed (size bigint PRIMARY KEY);

CREATE TABLE refusals (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    witness text NOT NULL,
    size bigint NOT NULL,
    status integer NOT NULL,
    answer text NOT NULL,
    request text NOT NULL,
    refused_at timestamptz NOT NULL
);

CREATE FUNCTION reject_change() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'append-only: no % on %', TG_OP, TG_TABLE_NAME; END$$;
"""
_VERSION_2 = """
CREATE TABLE archives (
    first_leaf bigint PRIMARY KEY,
    end_leaf bigint NOT NULL,
    older_than timestamptz NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL,
    archived_at timestamptz NOT NULL
);

CREATE TABLE archived (
    leaf_index bigint PRIMARY KEY,
    kind text NOT NULL,
    content_hash bytea NOT NULL,
    record_id text,
    sink_time_unix_nano bigint NOT NULL,
    leaf_hash bytea NOT NULL
);
CREATE INDEX idx_archived_record ON archived USING hash (record_id) WHERE record_id IS NOT NULL;
CREATE UNIQUE INDEX idx_archived_quarantine ON archived (content_hash) WHERE kind = 'quarantine';
"""
# Indexes in the order of bytes. The order of a language is that of the server's C library, which an update
# changes: rows would not be found in the indexes that were made before it.
_VERSION_3 = f"""
DROP INDEX idx_audit_event_type, idx_audit_actor, idx_audit_resource, idx_audit_correlation;
CREATE INDEX idx_audit_event_type ON audit_log (left(event_type, {PREFIX}) COLLATE "C");
CREATE INDEX idx_audit_actor
    ON audit_log (left(actor_id, {PREFIX}) COLLATE "C", left(actor_type, {PREFIX}) COLLATE "C");
CREATE INDEX idx_audit_resource
    ON audit_log (left(resource_type, {PREFIX}) COLLATE "C", left(resource_id, {PREFIX}) COLLATE "C");
CREATE INDEX idx_audit_correlation ON audit_log (left(correlation_id, {PREFIX}) COLLATE "C");
ALTER TABLE meta ALTER COLUMN name TYPE text COLLATE "C";
ALTER TABLE cosignatures ALTER COLUMN witness TYPE text COLLATE "C";
"""
_VERSIONS = {  # version → its definitions, and the tables among them
    1: (_VERSION_1, ("schema_version", *_WRITTEN)),
    2: (_VERSION_2, _ARCHIVE),
    3: (_VERSION_3, ()),
}
# A trigger that is always enabled also fires in a session whose session_replication_role is replica.
_APPEND_ONLY = """
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {0}
    FOR EACH STATEMENT EXECUTE FUNCTION reject_change();
ALTER TABLE {0} ENABLE ALWAYS TRIGGER append_only;
"""
_ROLE = """
DO $$BEGIN CREATE ROLE {0} NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END$$;
"""
_GRANTS = f"""
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO {WRITER}, {READER};
REVOKE ALL ON {", ".join((*TABLES, _VIEW))} FROM PUBLIC, {WRITER}, {READER};
GRANT SELECT ON {", ".join((*TABLES, _VIEW))} TO {WRITER}, {READER};
GRANT INSERT ON {", ".join(_WRITTEN)} TO {WRITER};
"""
_ROLE_EXISTS = "SELECT 1 FROM pg_roles WHERE rolname = $1"
_FOUND = """
WITH log AS (
    SELECT c.* FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relname = ANY($1) AND c.relkind <> 'i'
)
SELECT 'relation ' || relname,
       concat_ws(' ', relkind, relpersistence, relrowsecurity, relispartition, relhassubclass)
FROM log
UNION ALL
SELECT 'column ' || relname || '.' || attname,
       concat_ws(' ', attnum, format_type(atttypid, atttypmod), collname, attnotnull, atthasdef, attgenerated,
                 attidentity)
FROM pg_attribute JOIN log ON attrelid = log.oid LEFT JOIN pg_collation c ON c.oid = attcollation
WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'index ' || indexrelid::regclass,
       concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid, indisready, indislive)
FROM pg_index JOIN log ON indrelid = log.oid
UNION ALL
SELECT 'constraint ' || relname || '.' || conname, concat_ws(' ', pg_get_constraintdef(c.oid), convalidated)
FROM pg_constraint c JOIN log ON conrelid = log.oid WHERE contype <> 'n'
UNION ALL
SELECT 'trigger ' || relname || '.' || tgname,
       concat_ws(' ', tgtype, tgenabled, tgnargs, tgqual IS NULL, p.proname, l.lanname, prosecdef, prosrc)
FROM pg_trigger t JOIN log ON tgrelid = log.oid JOIN pg_proc p ON p.oid = tgfoid
    JOIN pg_language l ON l.oid = p.prolang
WHERE NOT tgisinternal
UNION ALL
SELECT 'rule ' || relname || '.' || rulename, ''
FROM pg_rewrite JOIN log ON ev_class = log.oid WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'policy ' || relname || '.' || polname, '' FROM pg_policy JOIN log ON polrelid = log.oid
UNION ALL
SELECT 'view ' || relname, pg_get_viewdef(oid) FROM log WHERE relkind = 'v'
"""


def version(connection: psycopg.Connection[Any]) -> int:
    """Return the schema version of a database, 0 if it is not an audit log."""
    if connection.execute("SELECT to_regclass('public.schema_version')").fetchone() == (None,):
        return 0
    row = connection.execute("SELECT max(version) FROM public.schema_version").fetchone()
    return (row and row[0]) or 0


def check_version(connection: psycopg.Connection[Any]) -> None:
    """Check that the server and the schema have versions that this program reads.

    Raises:
        OpenError: One has not.
    """
    check_server(connection)
    found = version(connection)
    if not found:
        raise OpenError("the database is not an audit log: run assay audit migrate with its address")
    if found != VERSION:
        remedy = "run assay audit migrate" if found < VERSION else "update this program"
        raise OpenError(f"the log has schema version {found}, this program reads {VERSION}: {remedy}")


def check_server(connection: psycopg.Connection[Any]) -> None:
    """Check that the server's version is supported.

    Raises:
        OpenError: It is too old.
    """
    if connection.info.server_version < OLDEST_SERVER:
        raise OpenError("the log needs PostgreSQL 15 or later")


def migrate(connection: psycopg.Connection[Any]) -> int:
    """Create the tables that the database lacks, and the roles and their grants.

    Args:
        connection: The connection of the role that is to own the tables, in a transaction.

    Returns:
        The schema version that the database had; 0 if it was empty.

    Raises:
        OpenError: The database has another encoding, a newer schema, or the server is too old.
        psycopg.Error: The role lacks a right, or the database has tables with the same names.
    """
    check_server(connection)
    if connection.info.parameter_status("server_encoding") != "UTF8":
        raise OpenError("the log needs a database with the encoding UTF8")
    before = version(connection)
    if before > VERSION:
        raise OpenError(f"the log has schema version {before}, this program has {VERSION}: update it")
    for number in range(before + 1, VERSION + 1):
        statements, tables = _VERSIONS[number]
        connection.execute(statements.encode())
        for table in tables:
            connection.execute(_APPEND_ONLY.format(table).encode())
        connection.execute("INSERT INTO schema_version VALUES ($1)", (number,))
    for role in (WRITER, READER):
        if connection.execute(_ROLE_EXISTS, (role,)).fetchone() is None:
            connection.execute(_ROLE.format(role).encode())
    connection.execute(_GRANTS.encode())
    return before


def definitions(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Return the definitions of the log's tables, and of whatever belongs to them, by name."""
    found = connection.execute(_FOUND, ([*TABLES, _VIEW],)).fetchall()
    return {name: _normalized(text) for name, text in found}


def check_definitions(connection: psycopg.Connection[Any]) -> None:
    """Check that tables, indexes, triggers and the view equal those of this version.

    Raises:
        SchemaMismatchError: One is missing, changed, or additional.
    """
    compare_definitions(definitions(connection), _expected())


def _normalized(definition: str) -> str:
    """Return a definition as every server version prints it: before 16 it qualified the columns of a view."""
    return re.sub(r"\s+", " ", definition.replace("audit_log.", "")).strip()


def _expected() -> dict[str, str]:
    file = resources.files("assay.exporters.audit") / _DEFINITIONS_FILE
    return json.loads(file.read_text("utf-8"))
