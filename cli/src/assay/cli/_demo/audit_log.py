"""Count and verify the demo's audit log, and tamper with a copy of it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from assay.cli._demo.errors import DemoError
from assay.cli._demo.tamper import detect_tampering
from assay.cli._folder import Folder
from assay.exporters.audit import VerificationError, load_verifier, verify


@dataclass(frozen=True)
class AuditLog:
    """The state of the log.

    Args:
        by_target: (event name, target id) to the number of its records.
        quarantined: Number of quarantine entries.
        origin: Name of the log, as in its checkpoints.
        failure: The verifier's message about the log; empty if the log verifies.
        tampering: The verifier's message about a changed letter; empty if it did not notice.
    """

    by_target: Mapping[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    quarantined: int = 0
    origin: str = ""
    failure: str = "not verified yet"
    tampering: str = ""

    @property
    def stored(self) -> int:
        """Number of records in the log."""
        return sum(self.by_target.values())

    @property
    def verified(self) -> bool:
        """Whether the log verifies."""
        return not self.failure

    @property
    def tamper_detected(self) -> bool:
        """Whether the verifier detected the changed letter."""
        return bool(self.tampering)

    def as_json(self, accepted: int) -> dict[str, Any]:
        """Return the member `audit` of the demo's JSON object."""
        return {
            "accepted": accepted,
            "stored": self.stored,
            "quarantined": self.quarantined,
            "verified": self.verified,
            "tamper_detected": self.tamper_detected,
            "origin": self.origin,
        }


def count(folder: Folder) -> AuditLog:
    """Count the records in the log; the sink may be writing to it."""
    if not folder.database.exists():
        return AuditLog()
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as log:
        rows = log.execute("SELECT event_type, resource_id, count(*) FROM flowstone_audit_log GROUP BY 1, 2")
        by_target = {(name, target or ""): records for name, target, records in rows}
        (quarantined,) = log.execute("SELECT count(*) FROM quarantine").fetchone()
    return AuditLog(by_target, quarantined)


def examine(folder: Folder) -> AuditLog:
    """Count the records, verify the log, prove one record, and check that a changed letter is detected.

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
    tampering = detect_tampering(folder.database, folder.verifier_key)
    return AuditLog(counted.by_target, counted.quarantined, origin, failure, tampering)


def _prove_an_approval(folder: Folder) -> None:
    """Write the proof of one approval with the command that a user would type."""
    with closing(sqlite3.connect(f"file:{folder.database}?mode=ro", uri=True)) as log:
        approved = log.execute("SELECT id FROM flowstone_audit_log WHERE action = 'APPROVE'").fetchone()
    if approved is None:
        return
    command = [sys.executable, "-m", "assay.cli", "audit", "prove", approved[0], "--format", "json"]
    command += ["--db", str(folder.database)]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise DemoError(f"assay audit prove failed: {done.stderr.decode(errors='replace').strip()}")
    folder.proof.write_bytes(done.stdout)
