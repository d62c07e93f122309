"""A log in PostgreSQL: its address, roles and schema, several sinks, and crashes of each part."""

from __future__ import annotations

import os
import random
import re
import shutil
import time
from contextlib import closing

import psycopg
import pydantic
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from assay.exporters.audit import (
    DatabaseError,
    OpenError,
    PostgreSQL,
    Query,
    Settings,
    VerificationError,
    VerifierKey,
    _log,
    _postgresql,
    _postgresql_schema,
    _receipts,
    archive,
    migrate,
    prove,
    query,
    verify,
    verify_proof,
)
from assay.host import Retry
from assay.proof.note import open_checkpoint

from . import conftest
from .conftest import PostgreSQLLog, change, column_of, other_value, owners, rows, settings_of, table_of
from .test_migration import DATA, SEED
from .test_tls import Authority
from .test_verify import COLUMNS, MIDDLE

pytestmark = pytest.mark.stores("postgresql")

CHANGED_DEFINITIONS = {  # statement → name of what it changes
    "DROP TRIGGER append_only ON nodes": r"trigger nodes\.append_only",
    "ALTER TABLE nodes DISABLE TRIGGER append_only": r"trigger nodes\.append_only",
    "ALTER TABLE nodes ENABLE TRIGGER append_only": r"trigger nodes\.append_only",
    """CREATE OR REPLACE FUNCTION reject_change() RETURNS trigger LANGUAGE plpgsql
       AS $$BEGIN RETURN NEW; END$$""": r"trigger archived\.append_only",
    """CREATE TRIGGER quiet BEFORE INSERT ON audit_log
       FOR EACH ROW EXECUTE FUNCTION reject_change()""": r"trigger audit_log\.quiet",
    "CREATE RULE quiet AS ON INSERT TO audit_log DO INSTEAD NOTHING": r"rule audit_log\.quiet",
    "ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY": "relation audit_log",
    "CREATE POLICY quiet ON audit_log USING (actor_id <> 'mallory')": r"policy audit_log\.quiet",
    "CREATE TABLE more () INHERITS (audit_log)": "relation audit_log",
    "DROP INDEX idx_audit_actor": "index idx_audit_actor",
    "DROP VIEW flowstone_audit_log": "flowstone_audit_log",
    """CREATE OR REPLACE VIEW flowstone_audit_log AS
       SELECT id, event_type, actor_id, actor_type, resource_type, resource_id, action,
              details::jsonb AS details, correlation_id, client_ip::inet AS client_ip, user_agent, inserted_at
       FROM audit_log WHERE actor_id <> 'eve'""": "view flowstone_audit_log",
    'ALTER TABLE meta ALTER COLUMN name TYPE text COLLATE "default"': r"column meta\.name",
    "ALTER TABLE audit_log ADD COLUMN more text": r"column audit_log\.more",
    "ALTER TABLE ids DROP CONSTRAINT ids_pkey": "ids_pkey",
    "ALTER TABLE ids SET UNLOGGED": "relation ids",
}


@pytest.fixture
def owner(database):
    with closing(psycopg.connect(database.owner, autocommit=True)) as connection:
        yield connection


@pytest.fixture
def another_place(database, tmp_path):
    """Return a function that returns the same log with the folder of another exporter host."""
    return lambda name: conftest.another_place(database, tmp_path / name)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://sink:secret@db.example.com/audit",
        "postgresql://sink:se@cret@db.example.com/audit",
        "postgresql://sink@db.example.com/audit?password=secret",
        "postgresql://sink@db.example.com/audit?sslmode=verify-full&p%61ssword=secret",
        "postgresql://sink@db.example.com/audit#&password=secret",
        "postgresql://sink@[::1/audit?password=secret",
        "host=db.example.com password=secret",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_printed(uri):
    with pytest.raises(OpenError) as caught:
        PostgreSQL(uri)
    assert "cret" not in str(caught.value)


def test_an_address_prints_neither_its_parameters_nor_a_password_file(tmp_path):
    address = PostgreSQL("postgresql://sink@db.example.com:5433/audit?sslkey=/k", tmp_path / "password")
    assert str(address) == "postgresql://sink@db.example.com:5433/audit"


@pytest.mark.parametrize(
    ("uri", "mode"),
    [
        ("postgresql://sink@db.example.com/audit", "verify-full"),
        ("postgresql://sink@192.0.2.7/audit", "verify-full"),
        ("postgresql://sink@127.0.0.1,192.0.2.7/audit", "verify-full"),
        ("postgresql://sink@localhost/audit?hostaddr=192.0.2.7", "verify-full"),
        ("postgresql://sink@/audit?host=db.example.com&sslmode=verify-ca", "verify-ca"),
        ("postgresql://sink@localhost/audit", None),
        ("postgresql://sink@[::1]/audit", None),
        ("postgresql://sink@/audit?host=/run/postgresql", None),
        ("postgresql:///audit", None),
    ],
)
def test_a_connection_to_another_machine_authenticates_the_server(uri, mode, monkeypatch):
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)
    assert _postgresql._private_parameters(PostgreSQL(uri)).get("sslmode") == mode


@pytest.mark.parametrize(
    ("uri", "variables"),
    [
        ("postgresql://sink@db.example.com/audit?sslmode=disable", {}),
        ("postgresql://sink@db.example.com/audit?sslmode=prefer", {}),
        ("postgresql://sink@db.example.com/audit?sslmode=require", {}),
        ("postgresql://sink@db.example.com/audit", {"PGSSLMODE": "disable"}),
        ("postgresql://sink@/audit?sslmode=disable", {"PGHOST": "db.example.com"}),
        ("postgresql://sink@localhost/audit?sslmode=disable", {"PGHOSTADDR": "192.0.2.7"}),
        ("postgresql://sink@localhost/audit?service=other", {}),
        ("postgresql://sink@localhost/audit", {"PGSERVICE": "other"}),
    ],
)
def test_an_address_that_allows_a_connection_in_the_clear_is_refused(uri, variables, monkeypatch):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(OpenError, match=r"sslmode|service"):
        _postgresql._private_parameters(PostgreSQL(uri))


def test_a_log_in_postgresql_needs_a_folder(tmp_path):
    with pytest.raises(pydantic.ValidationError, match="folder"):
        Settings(database="postgresql://sink@localhost/audit")
    with pytest.raises(pydantic.ValidationError, match="password_file"):
        Settings(database=tmp_path / "log.db", password_file=tmp_path / "password")


def test_other_users_may_not_read_the_password(database, open_sink):
    database.password_file.chmod(0o644)
    with pytest.raises(OpenError, match="chmod 600"):
        open_sink()


def test_a_wrong_password_is_reported_without_it(database, open_sink):
    database.password_file.write_text("another secret")
    with pytest.raises(OpenError, match="authentication failed") as caught:
        open_sink()
    assert "secret" not in str(caught.value)


def test_the_schema_has_the_definitions_that_verification_expects(owner):
    owner.cursor_factory = psycopg.RawCursor
    assert _postgresql_schema.definitions(owner) == _postgresql_schema._expected()


def test_the_view_has_the_seeds_columns_and_types(log, owner):
    found = owner.execute(
        "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute"
        " WHERE attrelid = 'flowstone_audit_log'::regclass ORDER BY attnum"
    ).fetchall()
    types = {"details": "jsonb", "client_ip": "inet", "inserted_at": "timestamp with time zone"}
    names = (
        "id",
        "event_type",
        "actor_id",
        "actor_type",
        "resource_type",
        "resource_id",
        "action",
        "details",
    )
    names += ("correlation_id", "client_ip", "user_agent", "inserted_at")
    assert found == [(name, types.get(name, "text")) for name in names]
    approved = "SELECT count(*) FROM flowstone_audit_log WHERE details->>'reason' = 'looks good'"
    assert owner.execute(f"{approved} AND client_ip <<= '203.0.113.0/24'").fetchone() == (40,)


def test_queries_use_the_seeds_indexes(owner):
    plans = {
        "event_type": "idx_audit_event_type",
        "actor_id": "idx_audit_actor",
        "correlation_id": "idx_audit_correlation",
    }
    owner.execute("SET enable_seqscan = off")
    for column, index in plans.items():
        condition = _postgresql.PostgreSQLReader.equals(None, column, "'x'")
        plan = owner.execute(f"EXPLAIN SELECT * FROM audit_log WHERE {condition}").fetchall()
        assert any(index in line for (line,) in plan), plan


def test_the_tables_are_append_only_for_their_owner_too(log, owner):
    owner.execute("SET session_replication_role = replica")  # switches ordinary triggers off
    last = "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass ORDER BY attnum DESC LIMIT 1"
    for table in _postgresql_schema.TABLES:
        (column,) = owner.execute(last, (table,)).fetchone()
        update = f"UPDATE {table} SET {column} = {column}"
        for statement in (update, f"DELETE FROM {table}", f"TRUNCATE {table}"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                owner.execute(statement)


@pytest.mark.parametrize(("user", "may_insert"), [("sink", True), ("auditor", False)])
def test_the_roles_may_not_change_a_row(log, owner, user, may_insert):
    name = log.uri.rpartition("/")[2]
    owner.execute(f"SET ROLE {user}")
    for statement in (
        "UPDATE audit_log SET actor_id = 'x'",
        "DELETE FROM checkpoints",
        "TRUNCATE nodes",
        "ALTER TABLE audit_log DISABLE TRIGGER append_only",
        "DROP TABLE quarantine",
        "CREATE TABLE public.other (a int)",
        f"ALTER DATABASE {name} SET synchronous_commit = off",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute(statement)
    insert = "INSERT INTO nodes VALUES (60, 0, '')"
    if may_insert:
        owner.execute(insert)
    else:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            owner.execute(insert)


def test_an_auditor_verifies_and_queries_with_the_right_to_read_alone(log, key, tmp_path):
    password = tmp_path / "auditors"
    password.write_text("auditors password")
    password.chmod(0o600)
    auditor = PostgreSQL(log.uri.replace("sink@", "auditor@"), password)
    assert verify(auditor, key()).records == 40
    (found,) = query(auditor, Query(target="approval-7"))
    assert verify_proof(prove(auditor, found["id"]), key()).record_id == found["id"]


def test_a_sink_with_the_owners_rights_does_not_start(open_sink, database, owner):
    owner.execute("GRANT DELETE ON audit_log TO sink")
    with pytest.raises(OpenError, match=r"may change or remove records.*GRANT assay_audit_writer"):
        open_sink()


def test_a_sink_that_cannot_wait_for_the_disk_does_not_start(log, open_sink, owner):
    functions = "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'pg_logical_emit_message'"
    for (function,) in owner.execute(functions).fetchall():
        owner.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")
    with pytest.raises(OpenError, match="permission denied for function pg_logical_emit_message"):
        open_sink()


def test_a_migration_is_repeated_without_effect(database, postgresql_server, log, key):
    name = database.uri.rpartition("/")[2]
    uri = f"postgresql://owner@:{postgresql_server.port}/{name}?host={postgresql_server.folder}"
    assert migrate(PostgreSQL(uri)) == _postgresql_schema.VERSION
    assert verify(log, key()).records == 40


def test_no_index_depends_on_the_servers_collations(log, owner):
    """An index in the order of a language is corrupt after an update of the server's C library."""
    found = owner.execute(
        "SELECT indexrelid::regclass::text, c.collname FROM pg_index CROSS JOIN unnest(indcollation) AS used"
        " JOIN pg_collation c ON c.oid = used JOIN pg_class i ON i.oid = indexrelid"
        " JOIN pg_am a ON a.oid = i.relam WHERE indrelid::regclass::text = ANY(%s) AND amname = 'btree'",
        (list(_postgresql_schema.TABLES),),
    ).fetchall()
    assert {collation for _, collation in found} == {"C"}
    assert {"idx_audit_actor", "cosignatures_pkey", "meta_pkey"} <= {index for index, _ in found}


@pytest.mark.parametrize("version", [1, 2])
def test_a_log_of_an_earlier_schema_version_is_migrated(database, owner, version, tmp_path):
    """The data are dumps of a log with ten records, three quarantine entries and a cosignature."""
    name = f"older_{os.getpid()}"
    owner.execute(f"CREATE DATABASE {name}")
    try:
        parts = conninfo_to_dict(database.owner, dbname=name)
        dump = (DATA / f"postgresql-v{version}.sql").read_text("utf-8")
        with closing(psycopg.connect(make_conninfo(**parts), autocommit=True)) as older:
            older.execute(dump)
        password, public = database.password_file, Ed25519PrivateKey.from_private_bytes(SEED).public_key()
        place = PostgreSQLLog(
            re.sub("/[^/]*$", f"/{name}", database.uri), password, tmp_path / "older", make_conninfo(**parts)
        )
        key = VerifierKey.of("audit.test/log", public.public_bytes_raw())
        for use in (lambda: verify(place, key), lambda: list(query(place, Query()))):
            with pytest.raises(OpenError, match=rf"schema version {version}.*run assay audit migrate"):
                use()
        assert [migrate(owners(place)), migrate(owners(place))] == [version, _postgresql_schema.VERSION]
        found = verify(place, key)
        assert (found.records, found.quarantined, found.covered) == (10, 3, 13)
        assert archive(owners(place), key, "0s", tmp_path / "archives")[0].end == 13
        assert verify(place, key, archives=tmp_path / "archives").root == found.root
    finally:
        owner.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_that_is_not_a_log_is_refused(open_sink, owner, database):
    owner.execute("CREATE DATABASE other_things")
    other = re.sub("/[^/]*$", "/other_things", database.uri)
    with pytest.raises(OpenError, match="assay audit migrate"):
        open_sink(database=other)
    with pytest.raises(OpenError, match="assay audit migrate"):
        list(query(PostgreSQL(other, database.password_file), Query()))


def test_a_changed_definition_is_found(owner):
    owner.cursor_factory = psycopg.RawCursor
    owner.execute("SET search_path = public")
    for statement, name in CHANGED_DEFINITIONS.items():
        owner.execute("BEGIN")
        owner.execute(statement)
        with pytest.raises(VerificationError, match=name):
            _postgresql_schema.check_definitions(owner)
        owner.execute("ROLLBACK")
    _postgresql_schema.check_definitions(owner)


def test_a_log_with_a_changed_definition_neither_verifies_nor_opens(log, key, open_sink):
    change(log, "DROP TRIGGER append_only ON nodes", keep_triggers=True)
    with pytest.raises(VerificationError, match=r"nodes\.append_only"):
        verify(log, key())
    with pytest.raises(OpenError, match=r"changed by another program: .*nodes\.append_only"):
        open_sink()


def test_any_changed_value_is_found(log, key):
    for table, columns in COLUMNS.items():
        stored, middle = table_of(log, table), MIDDLE.format(table_of(log, table))
        for column in (column_of(log, table, each) for each in columns):
            (row, old) = rows(log, f"SELECT ctid, {column} FROM {stored} {middle}")[0]
            change(log, (f"UPDATE {stored} SET {column} = ? WHERE ctid = ?", (other_value(old), row)))
            with pytest.raises(VerificationError):
                verify(log, key())
            newest = f"SELECT ctid FROM {stored} ORDER BY xmin::text::bigint DESC LIMIT 1"
            (row,) = rows(log, newest)[0]  # the row's new version
            change(log, (f"UPDATE {stored} SET {column} = ? WHERE ctid = ?", (old, row)))
    assert verify(log, key()).records == 40


def test_the_record_that_was_changed_is_named(log, key):
    (record_id,) = rows(log, "SELECT id FROM audit_log WHERE leaf_index = 21")[0]
    for column in COLUMNS["audit_log"][2:]:
        (old,) = rows(log, f"SELECT {column} FROM audit_log WHERE leaf_index = 21")[0]
        update = f"UPDATE audit_log SET {column} = ? WHERE leaf_index = 21"
        change(log, (update, (other_value(old),)))
        with pytest.raises(VerificationError, match=record_id):
            verify(log, key())
        change(log, (update, (old,)))
    assert verify(log, key()).records == 40


def test_a_deleted_row_is_found(log, key):
    kept = log.with_name("checkpoint").read_text()
    for table in (table_of(log, table) for table in COLUMNS):
        for which in ("min", "max"):
            first = f"ctid = (SELECT {which}(ctid) FROM {table})"
            change(log, f"CREATE TABLE taken AS SELECT * FROM {table} WHERE {first}")
            change(log, f"DELETE FROM {table} WHERE {first}")
            with pytest.raises(VerificationError):
                verify(log, key(), checkpoint=kept)
            change(log, f"INSERT INTO {table} SELECT * FROM taken", "DROP TABLE taken")
    assert verify(log, key()).records == 40


def test_a_trigger_that_swallows_records_stops_the_sink(open_sink, owner, record, batch):
    sink = open_sink()
    owner.execute("CREATE FUNCTION quiet() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$")
    owner.execute("CREATE TRIGGER quiet BEFORE INSERT ON audit_log FOR EACH ROW EXECUTE FUNCTION quiet()")
    for _ in range(2):
        with pytest.raises(Retry, match="another program changed the log"):
            sink.export(batch(record(actor_id="mallory")))


def test_a_text_with_a_nul_is_stored_and_verifies(open_sink, database, record, batch, key):
    sink = open_sink()
    body = {"text": "\0", "path": "C:\\u0000"}
    one = record(record_id="a\0b", actor_id="x\0y", body=body, source_id="fe80::1%e", source_type="ipv6")
    (receipt,) = sink.export(batch(one)).receipts
    assert sink.export(batch(one)).receipts == [receipt]
    sink.export(batch(record(record_id="q\0", actor_type="robot"), peer="collector"))
    shown = rows(database, "SELECT actor_id, details->>'text', client_ip::text FROM flowstone_audit_log")
    assert shown == [("x\u2400y", "\u2400", "fe80::1/128")]
    (found,) = query(database, Query(actor="x\0y"))
    assert found["attributes"]["audit.actor.id"] == "x\0y"
    sink.shutdown()
    assert verify(database, key()).records == 1
    assert verify_proof(prove(database, "a\0b"), key()).record_id == "a\0b"
    assert verify_proof(prove(database, "q\0"), key()).is_quarantined


def test_long_texts_are_stored_and_found(open_sink, database, record, batch, key):
    text = "".join(random.Random(1).choices("abcdefghij\u00e9\U0001f600", k=4000))  # does not compress
    sink = open_sink()
    sink.export(batch(record(actor_id=text, target_id=text, event_name=text, record_id=text)))
    (found,) = query(database, Query(actor=text, target=text, event=text))
    assert found["actor_id"] == text
    assert not list(query(database, Query(actor=text[:-1])))
    sink.shutdown()
    assert verify(database, key()).records == 1


def end_sessions_of_sinks(owner):
    owner.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        " WHERE usename = 'sink' AND datname = current_database()"
    )


def test_a_broken_connection_asks_for_a_retry_and_is_made_again(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, owner, record, batch, key
):
    sink = open_sink(checkpoint_seconds=3600)
    sink.export(batch(record()))
    one = batch(record())
    for _ in range(2):
        end_sessions_of_sinks(owner)
        with pytest.raises(Retry, match="cannot be written"):
            sink.export(one)
        assert len(sink.export(one).receipts) == 1
    sink.shutdown()
    assert verify(database, key()).records == 2


@pytest.mark.parametrize("few", [0, 1000])
def test_sinks_append_to_one_log_and_one_signs(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, another_place, record, batch, key, few, monkeypatch
):
    monkeypatch.setattr(_log, "_FEW", few)  # the others' entries are read from nodes, or from leaf hashes
    first = open_sink(checkpoint_seconds=3600)
    place = another_place("second")
    second = open_sink(**settings_of(place), checkpoint_seconds=3600)
    known = batch(record())
    for sink in (first, second, first, second):
        sink.export(batch(*(record() for _ in range(20))))
        assert len(sink.export(known).receipts) == 1
    second._log.checkpoint()
    assert open_checkpoint(place.with_name("checkpoint").read_text(), key()).size == 0
    first._log.checkpoint()
    second._log.checkpoint()
    for file in ("checkpoint", "signing.key.checkpoint"):
        assert place.with_name(file).read_text() == database.with_name(file).read_text()
    assert open_checkpoint(place.with_name("checkpoint").read_text(), key()).size == 81
    first.shutdown()
    second.export(batch(record()))
    second._log.checkpoint()  # it signs now
    second.shutdown()
    found = verify(database, key(), checkpoint=place.with_name("checkpoint").read_text())
    assert (found.records, found.covered) == (82, 82)


def test_a_sink_appends_while_another_waits_for_the_disk(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, another_place, record, batch, key, monkeypatch
):
    first = open_sink(checkpoint_seconds=3600)
    second = open_sink(**settings_of(another_place("second")), checkpoint_seconds=3600)
    flush = first._log._connection.flush

    def append_and_flush():
        assert len(second.export(batch(record())).receipts) == 1
        flush()

    monkeypatch.setattr(first._log._connection, "flush", append_and_flush)
    assert len(first.export(batch(record())).receipts) == 1
    monkeypatch.undo()
    first.shutdown()
    second.shutdown()
    assert verify(database, key()).records == 2


def end_of_wal(owner):
    return owner.execute("SELECT pg_current_wal_insert_lsn()").fetchone()[0]


def is_on_disk(owner, end):
    return owner.execute("SELECT pg_current_wal_flush_lsn() >= %s::pg_lsn", (end,)).fetchone()[0]


def test_entries_are_on_disk_before_they_are_acknowledged_signed_or_have_a_receipt(  # noqa: PLR0913, PLR0917
    open_sink, database, another_place, record, batch, owner, monkeypatch
):
    """The server's own process that writes to the disk wakes up later: see `postgresql_server`."""
    first = open_sink(checkpoint_seconds=3600)
    second = open_sink(**settings_of(another_place("second")), checkpoint_seconds=3600)
    writer, signer = second._log._connection, first._log._signer
    flush, sign, checks = writer.flush, signer.sign, []

    def fail():
        raise DatabaseError("the connection was lost before the commit was on disk")

    def flush_and_check():
        end = end_of_wal(owner)
        flush()
        checks.append(is_on_disk(owner, end))

    def check_and_sign(*tree):
        checks.append(is_on_disk(owner, end))
        return sign(*tree)

    one = batch(record(record_id="a"))
    monkeypatch.setattr(writer, "flush", fail)
    with pytest.raises(Retry):
        second.export(one)
    end = end_of_wal(owner)
    assert _receipts._find(database, ["a"])["receipts"]
    assert is_on_disk(owner, end)
    with pytest.raises(Retry):
        second.export(batch(record()))
    end = end_of_wal(owner)
    monkeypatch.setattr(signer, "sign", check_and_sign)
    first._log.checkpoint()
    monkeypatch.setattr(writer, "flush", flush_and_check)
    for each in (one, batch(record())):
        assert len(second.export(each).receipts) == 1
    assert checks == [True, True, True]


def test_entries_that_a_crash_of_the_server_lost_are_forgotten(  # noqa: PLR0913, PLR0917  fixtures
    open_sink, database, another_place, record, batch, key, owner
):
    """A sink has read entries of another one that were not on disk yet; then as many others are appended."""
    first = open_sink(checkpoint_seconds=3600)
    second = open_sink(**settings_of(another_place("second")), checkpoint_seconds=3600)
    first.export(batch(*(record() for _ in range(20))))
    second._log._follow()
    lost = [f"DELETE FROM {table}" for table in ("audit_log", "ids", "nodes")]
    change(database, *lost)
    end_sessions_of_sinks(owner)
    with pytest.raises(DatabaseError):
        second._log.checkpoint()
    again = batch(*(record() for _ in range(20)))
    with pytest.raises(Retry):
        first.export(again)
    first.export(again)
    second._log.checkpoint()  # the sizes are equal again
    second.export(batch(*(record() for _ in range(20))))
    first.shutdown()
    second.shutdown()
    assert verify(database, key()).records == 40


def test_a_follower_stops_when_the_signer_signs_a_fork(open_sink, database, another_place, record, batch):
    first = open_sink(checkpoint_seconds=3600)
    second = open_sink(**settings_of(another_place("second")), checkpoint_seconds=3600)
    first.export(batch(*(record() for _ in range(20))))
    first._log.checkpoint()
    second._log.checkpoint()
    change(database, "UPDATE audit_log SET leaf_hash = zeroblob(32)", "UPDATE nodes SET hash = zeroblob(32)")
    first.export(batch(record()))
    with pytest.raises(OpenError, match="another program changed the log"):
        first._log.checkpoint()
    second.export(batch(record()))
    second._log._connection._signs = True  # as if the first had ended
    with pytest.raises(OpenError, match="another program changed the log"):
        second._log.checkpoint()


def test_an_older_database_beside_newer_checkpoints_is_refused(open_sink, log, copy_of, record, batch):
    backup = copy_of(log)
    sink = open_sink()
    sink.export(batch(record()))
    sink.shutdown()
    with pytest.raises(OpenError, match=r"44 entries, the log has 43.*Restore the newest database"):
        open_sink(database=backup.uri)


@pytest.fixture
def authority(postgresql_server, owner, tmp_path):
    """Give the server a certificate for 127.0.0.1; return the file of its authority."""
    created = Authority(tmp_path / "ours")
    data = postgresql_server.folder / "data"
    for name, file in (("certificate", "server.crt"), ("key", "server.key")):
        shutil.copy(created.server[name], data / file)
        (data / file).chmod(0o600)
        os.chown(data / file, data.stat().st_uid, data.stat().st_gid)
    set_tls(owner, "on")
    yield created.certificate
    set_tls(owner, "off")


def set_tls(owner, value):
    owner.execute(f"ALTER SYSTEM SET ssl = {value}")
    owner.execute("SELECT pg_reload_conf()")
    for _ in range(600):  # the server reads it when it gets to it
        if owner.execute("SHOW ssl").fetchone() == (value,):
            return
        time.sleep(0.1)
    pytest.fail(f"the server did not set ssl = {value}")


def test_a_server_is_authenticated_by_its_certificate(database, authority, open_sink, owner, tmp_path):
    options = "?sslmode=verify-full&sslrootcert="
    open_sink(database=f"{database.uri}{options}{authority}")
    encrypted = "SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'sink'"
    assert owner.execute(encrypted).fetchall() == [(True,)]
    with pytest.raises(OpenError, match="certificate verify failed"):
        open_sink(database=f"{database.uri}{options}{Authority(tmp_path / 'theirs').certificate}")
    with pytest.raises(OpenError, match="does not match host name"):
        open_sink(database=f"{database.uri.replace('127.0.0.1', 'localhost')}{options}{authority}")
