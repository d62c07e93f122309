"""Checkpoints, at which a run waits for a person's decision: `flowstone.checkpoint.*`, each an audit record.

The time from request to decision is measured across processes and hosts that share no state: the id that
`request` returns is a UUID of version 7 (RFC 9562, section 5.7), whose first 48 bits are the time of the
request in milliseconds. For any other id, the time is measured from `requested_at` if it is given, or from
the request if this process made it. Otherwise, and if the clocks disagree (a decision before its request),
the event has no `approval_time`.

A request and its decisions have the same correlation id, and so the same chain, although they are emitted in
different processes: the run's id if both name the run, else the approval id.

By default these functions return even if the audit record is lost: that is logged, and counted in
`audit.records.dropped`. With `fail_closed=True` they emit the record synchronously and raise
`assay.telemetry.AuditNotAcceptedError` if it was not accepted, or if no audit trail is configured. The event
has been emitted then all the same.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from datetime import datetime
from threading import Lock
from time import time_ns
from typing import Any
from uuid import UUID

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.errors import ApprovalError

from assay import telemetry

REMEMBERED = 10_000
"""How many requests with ids of the caller's own this process remembers."""

_NS_PER_MS = 1_000_000
_UUID_VERSION = 7
_requested: OrderedDict[str, int] = OrderedDict()
_lock = Lock()


def request(
    checkpoint: str,
    approval_id: str | None = None,
    *,
    actor: str | None = None,
    run_id: str | None = None,
    fail_closed: bool = False,
) -> str:
    """Emit a request for a decision.

    Args:
        checkpoint: Name of the checkpoint; a label of the series.
        approval_id: Identifies this request; a new id if it is not given.
        actor: Who asks; if not given, the actor of the context (`assay.audit.actor`).
        run_id: The run that waits.
        fail_closed: Raise if the audit record is not accepted.

    Returns:
        The approval id, for `approve`, `reject` or `timeout` in any process.

    Raises:
        ApprovalError: `checkpoint` is empty.
        AuditNotAcceptedError: `fail_closed`, and the audit record was not accepted.
    """
    _check_not_empty("checkpoint", checkpoint)
    if approval_id is None:
        approval_id = _new_id()
    else:
        _check_not_empty("approval_id", approval_id)
        _remember(approval_id)
    metadata = described(
        checkpoint=checkpoint, approval_id=approval_id, status="pending", actor=actor, run_id=run_id
    )
    _emit("flowstone.checkpoint.requested", None, metadata, fail_closed=fail_closed)
    return approval_id


def approve(  # noqa: PLR0913 - all but two are optional and by name
    checkpoint: str,
    approval_id: str,
    *,
    actor: str | None = None,
    reason: str | None = None,
    run_id: str | None = None,
    requested_at: datetime | None = None,
    fail_closed: bool = False,
) -> None:
    """Emit that a request was approved.

    Args:
        checkpoint: Name of the checkpoint.
        approval_id: The id that `request` returned.
        actor: Who approved; if not given, the actor of the context (`assay.audit.actor`).
        reason: The actor's reason.
        run_id: The run that waited.
        requested_at: Time of the request, with a time zone, if the id does not carry it.
        fail_closed: Raise if the audit record is not accepted.

    Raises:
        ApprovalError: `checkpoint` or `approval_id` is empty, or `requested_at` has no time zone.
        AuditNotAcceptedError: `fail_closed`, and the audit record was not accepted.
    """
    decision = described(actor=actor, reason=reason, run_id=run_id)
    _decide("approved", checkpoint, approval_id, requested_at, decision, fail_closed=fail_closed)


def reject(  # noqa: PLR0913 - the arguments of `approve`
    checkpoint: str,
    approval_id: str,
    *,
    actor: str | None = None,
    reason: str | None = None,
    run_id: str | None = None,
    requested_at: datetime | None = None,
    fail_closed: bool = False,
) -> None:
    """Emit that a request was rejected; arguments and exceptions as for `approve`."""
    decision = described(actor=actor, reason=reason, run_id=run_id)
    _decide("rejected", checkpoint, approval_id, requested_at, decision, fail_closed=fail_closed)


def timeout(
    checkpoint: str,
    approval_id: str,
    *,
    run_id: str | None = None,
    requested_at: datetime | None = None,
    fail_closed: bool = False,
) -> None:
    """Emit that nobody decided in time; arguments and exceptions as for `approve`."""
    decision = described(run_id=run_id)
    _decide("timeout", checkpoint, approval_id, requested_at, decision, fail_closed=fail_closed)


def _decide(  # noqa: PLR0913 - one for each part of a decision
    status: str,
    checkpoint: str,
    approval_id: str,
    requested_at: datetime | None,
    decision: Mapping[str, Any],
    *,
    fail_closed: bool,
) -> None:
    _check_not_empty("checkpoint", checkpoint)
    _check_not_empty("approval_id", approval_id)
    elapsed = _elapsed_ns(approval_id, requested_at)
    _emit(
        f"flowstone.checkpoint.{status}",
        None if elapsed is None else {"approval_time": elapsed},
        {"checkpoint": checkpoint, "approval_id": approval_id, "status": status, **decision},
        fail_closed=fail_closed,
    )


def _emit(
    event: str, measurements: Mapping[str, int] | None, metadata: Mapping[str, Any], *, fail_closed: bool
) -> None:
    metadata = {"correlation_id": metadata["approval_id"], **metadata}
    if not fail_closed:
        telemetry.execute(event, measurements, metadata)
        return
    with telemetry.fail_closed():
        telemetry.execute(event, measurements, metadata)


def _elapsed_ns(approval_id: str, requested_at: datetime | None) -> int | None:
    """Return the time since the request, or None if it is unknown or not yet past."""
    with _lock:
        remembered = _requested.pop(approval_id, None)
    if requested_at is not None:
        if requested_at.tzinfo is None:
            raise ApprovalError(
                f"requested_at of approval {approval_id!r} has no time zone; give it one, "
                "such as datetime.now(timezone.utc)"
            )
        requested = int(requested_at.timestamp() * 1000) * _NS_PER_MS
    elif remembered is not None:
        requested = remembered
    else:
        requested = _time_of(approval_id)
    if requested is None:
        return None
    elapsed = time_ns() - requested
    return elapsed if elapsed >= 0 else None


def _time_of(approval_id: str) -> int | None:
    """Return the time in a UUID of version 7 in ns, or None for any other id."""
    try:
        parsed = UUID(approval_id)
    except ValueError:
        return None
    return (parsed.int >> 80) * _NS_PER_MS if parsed.version == _UUID_VERSION else None


def _new_id() -> str:
    """Return a UUID of version 7 (RFC 9562, section 5.7)."""
    milliseconds = (time_ns() // _NS_PER_MS) & ((1 << 48) - 1)
    value = milliseconds << 80 | _UUID_VERSION << 76 | secrets.randbits(12) << 64
    return str(UUID(int=value | 0b10 << 62 | secrets.randbits(62)))


def _remember(approval_id: str) -> None:
    with _lock:
        _requested[approval_id] = time_ns()
        while len(_requested) > REMEMBERED:
            _requested.popitem(last=False)


def _check_not_empty(name: str, value: str) -> None:
    if not value:
        raise ApprovalError(f"{name} is empty; an approval needs one to be found again")
