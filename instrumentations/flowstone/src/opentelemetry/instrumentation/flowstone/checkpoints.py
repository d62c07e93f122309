"""Checkpoints, where a run waits for a person: `flowstone.checkpoint.*`, each an audit record.

The time from request to decision is measured across processes and hosts with no state between them: the
id that `request` returns is a UUID of version 7 (RFC 9562, section 5.7), whose first 48 bits are the time of
the request in milliseconds. A decision under any other id is measured where `requested_at` is given, or where
this process made the request; else, and where the clocks contradict each other (a decision before its
request), the event carries no `approval_time` rather than a wrong one.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from datetime import datetime
from threading import Lock
from time import time_ns
from uuid import UUID

from opentelemetry.instrumentation.flowstone.errors import ApprovalError
from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import execute

REMEMBERED = 10_000
"""How many requests under ids of the caller's own this process remembers."""

_NS_PER_MS = 1_000_000
_UUID_VERSION = 7
_requested: OrderedDict[str, int] = OrderedDict()
_lock = Lock()


def request(
    checkpoint: str, approval_id: str | None = None, *, actor: str | None = None, run_id: str | None = None
) -> str:
    """Ask for an approval.

    Args:
        checkpoint: Name of the checkpoint; a label of the series.
        approval_id: Identifies this request; made if not given.
        actor: Who asks; if not given, who acts in the context (`assay.audit.actor`).
        run_id: The run that waits.

    Returns:
        The approval id, to be kept and given to `approve`, `reject` or `timeout`, in any process.

    Raises:
        ApprovalError: `checkpoint` is empty.
    """
    _check_named("checkpoint", checkpoint)
    if approval_id is None:
        approval_id = _new_id()
    else:
        _check_named("approval_id", approval_id)
        _remember(approval_id)
    execute(
        "flowstone.checkpoint.requested",
        None,
        described(
            checkpoint=checkpoint, approval_id=approval_id, status="pending", actor=actor, run_id=run_id
        ),
    )
    return approval_id


def approve(  # noqa: PLR0913 - all but two are optional and by name
    checkpoint: str,
    approval_id: str,
    *,
    actor: str | None = None,
    reason: str | None = None,
    run_id: str | None = None,
    requested_at: datetime | None = None,
) -> None:
    """Tell that the request was approved.

    Args:
        checkpoint: Name of the checkpoint.
        approval_id: What `request` returned.
        actor: Who approved; if not given, who acts in the context (`assay.audit.actor`).
        reason: Why.
        run_id: The run that waited.
        requested_at: When it was asked for, with a time zone, where the id does not tell.

    Raises:
        ApprovalError: `checkpoint` or `approval_id` is empty, or `requested_at` has no time zone.
    """
    _decide("approved", checkpoint, approval_id, requested_at, actor=actor, reason=reason, run_id=run_id)


def reject(  # noqa: PLR0913 - as above
    checkpoint: str,
    approval_id: str,
    *,
    actor: str | None = None,
    reason: str | None = None,
    run_id: str | None = None,
    requested_at: datetime | None = None,
) -> None:
    """Tell that the request was rejected; arguments and errors as for `approve`."""
    _decide("rejected", checkpoint, approval_id, requested_at, actor=actor, reason=reason, run_id=run_id)


def timeout(
    checkpoint: str,
    approval_id: str,
    *,
    run_id: str | None = None,
    requested_at: datetime | None = None,
) -> None:
    """Tell that nobody decided in time; arguments and errors as for `approve`."""
    _decide("timeout", checkpoint, approval_id, requested_at, actor=None, reason=None, run_id=run_id)


def _decide(  # noqa: PLR0913 - as above
    status: str,
    checkpoint: str,
    approval_id: str,
    requested_at: datetime | None,
    *,
    actor: str | None,
    reason: str | None,
    run_id: str | None,
) -> None:
    _check_named("checkpoint", checkpoint)
    _check_named("approval_id", approval_id)
    elapsed = _elapsed_ns(approval_id, requested_at)
    execute(
        f"flowstone.checkpoint.{status}",
        None if elapsed is None else {"approval_time": elapsed},
        described(
            checkpoint=checkpoint,
            approval_id=approval_id,
            status=status,
            actor=actor,
            reason=reason,
            run_id=run_id,
        ),
    )


def _elapsed_ns(approval_id: str, requested_at: datetime | None) -> int | None:
    with _lock:
        remembered = _requested.pop(approval_id, None)
    if requested_at is not None:
        if requested_at.tzinfo is None:
            raise ApprovalError(
                f"requested_at of approval {approval_id!r} has no time zone; give it one, "
                "such as datetime.now(timezone.utc)"
            )
        begun = int(requested_at.timestamp() * 1000) * _NS_PER_MS
    elif remembered is not None:
        begun = remembered
    else:
        begun = _time_of(approval_id)
    if begun is None:
        return None
    elapsed = time_ns() - begun
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


def _check_named(what: str, value: str) -> None:
    if not value:
        raise ApprovalError(f"{what} is empty; an approval without it cannot be found again")
