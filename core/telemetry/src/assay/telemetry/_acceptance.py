"""Fail-closed auditing: a block that raises when an audit record of it was not accepted."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from assay.telemetry.errors import AuditNotAcceptedError


@dataclass(slots=True)
class _Ledger:
    """The audit records that were emitted in one block."""

    accepted: int = 0
    failures: list[BaseException] = field(default_factory=list[BaseException])


_ledger: ContextVar[_Ledger | None] = ContextVar("assay_audit_ledger", default=None)


@contextmanager
def fail_closed() -> Generator[None]:
    """Require that the audit records of the block's events are accepted.

    Without it, a record that is not accepted is reported (`telemetry.handler.failure`, a log line, the metric
    `audit.records.dropped`) and the program goes on: fail-open.

    ```python
    with fail_closed():
        execute("flowstone.checkpoint.approved", None, {"checkpoint": "publish", "approval_id": "17"})
    ```

    Raises:
        AuditNotAcceptedError: At the end of the block, if a record was not accepted, or if there was none: no
            audit trail is configured, or none of the events is audited.
    """
    ledger = _Ledger()
    token = _ledger.set(ledger)
    try:
        yield
    finally:
        _ledger.reset(token)
    if ledger.failures:
        error = ledger.failures[0]
        raise AuditNotAcceptedError(
            f"{len(ledger.failures)} of {len(ledger.failures) + ledger.accepted} audit records were not "
            f"accepted: {error}"
        ) from error
    if not ledger.accepted:
        raise AuditNotAcceptedError(
            "no audit record was emitted: configure an audit trail (the Assay distro does), and check that "
            "the event is marked for audit in the registry"
        )


def audit_required() -> bool:
    """Return whether the running code is inside `fail_closed`: audit records must be delivered now."""
    return _ledger.get() is not None


def note_accepted() -> None:
    """Record that an audit record was accepted."""
    ledger = _ledger.get()
    if ledger is not None:
        ledger.accepted += 1


def note_failure(error: BaseException) -> None:
    """Record that an audit record was not accepted."""
    ledger = _ledger.get()
    if ledger is not None:
        ledger.failures.append(error)
