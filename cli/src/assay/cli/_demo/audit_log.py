"""What the demo's audit log holds: counted from the database, verified, and tampered with in a copy."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from assay.cli._demo.errors import DemoError
from assay.cli._demo.tamper import caught
from assay.cli._stack import Folder
from assay.exporters.audit import VerificationError, load_verifier, verify


@dataclass(frozen=True)
class AuditLog:
    """The log as it was found.

    Args:
        by_target: (event name, target id) to how many records there are.
        quarantined: Entries in quarantine.
        origin: The log's name, as its checkpoints have it.
        failure: What does not hold; empty: it verifies.
        tampering: What the verifier said of a changed letter; empty: nothing.
    """

    by_target: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    quarantined: int = 0
    origin: str = ""
    failure: str = "not verified yet"
    tampering: str = ""

    @property
    def stored(self) -> int:
        """How many records it holds."""
        return sum(self.by_target.values())

    @property
    def verified(self) -> bool:
        """Whether all of it holds."""
        return not self.failure

    @property
    def tamper_detected(self) -> bool:
        """Whether the changed letter was caught."""
        return bool(self.tampering)

    def as_json(self, accepted: int) -> dict[str, Any]:
        """Return the JSON object's `audit`."""
        return {
            "accepted": accepted,
            "stored": self.stored,
            "quarantined": self.quarantined,
            "verified": self.verified,
            "tamper_detected": self.tamper_detected,
            "origin": self.origin,
        }


def count(folder: Folder) -> AuditLog:
    """Count what the log holds now; the sink may be writing it."""
    if not folder.database.exists():
        return AuditLog()
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as log:
        rows = log.execute("SELECT event_type, resource_id, count(*) FROM flowstone_audit_log GROUP BY 1, 2")
        by_target = {(name, target or ""): records for name, target, records in rows}
        (quarantined,) = log.execute("SELECT count(*) FROM quarantine").fetchone()
    return AuditLog(by_target, quarantined)


def examine(folder: Folder) -> AuditLog:
    """Count, verify, prove one record, and see whether a changed letter is caught.

    Raises:
        DemoError: `assay audit prove` failed.
        AuditLogError: The log or its key cannot be read.
    """
    counted = count(folder)
    _prove_an_approval(folder)
    origin, failure = "", ""
    try:
        origin = verify(folder.database, load_verifier(folder.verifier_key)).origin
    except VerificationError as error:
        failure = str(error)
    tampering = caught(folder.database, folder.verifier_key)
    return AuditLog(counted.by_target, counted.quarantined, origin, failure, tampering)


def _prove_an_approval(folder: Folder) -> None:
    """Leave a proof of one approval, made by the command that a user would type."""
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as log:
        approved = log.execute("SELECT id FROM flowstone_audit_log WHERE action = 'APPROVE'").fetchone()
    if approved is None:
        return
    command = [sys.executable, "-m", "assay.cli", "audit", "prove", approved[0], "--db", str(folder.database)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DemoError(f"assay audit prove failed: {done.stderr.decode(errors='replace').strip()}")
    folder.proof.write_bytes(done.stdout)
