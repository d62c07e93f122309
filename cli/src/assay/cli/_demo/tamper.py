"""Change one letter of a record, and return the verifier's message.

The log's triggers reject an UPDATE. An attacker with the file would drop them first, and so does this module.
It creates them again afterwards, so that the changed letter is the only fault. It works on a copy of the log.
"""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from assay.exporters.audit import AuditLogError, load_verifier, verify


def detect_tampering(database: Path, verifier_key: Path) -> str:
    """Change one letter of one record in a copy of the log, and verify the copy.

    Returns:
        The verifier's message, which names the record; empty if the copy verifies.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "log.db"
        original = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        with closing(original) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        _change_a_letter(copy)
        try:
            verify(copy, load_verifier(verifier_key))
        except AuditLogError as error:
            return str(error)
        return ""


def _change_a_letter(database: Path) -> None:
    """Change the first letter of an approver's name."""
    with closing(sqlite3.connect(database)) as log, log:
        triggers = log.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            log.execute(f'DROP TRIGGER "{name}"')
        log.execute(
            "UPDATE audit_log SET actor_id = 'x' || substr(actor_id, 2)"
            " WHERE rowid = (SELECT max(rowid) FROM audit_log WHERE action = 'APPROVE')"
        )
        for _, sql in triggers:
            log.execute(sql)
