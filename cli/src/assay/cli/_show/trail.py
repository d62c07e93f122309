"""The audit records of a run, each with the state of its proof."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from assay.cli._folder import Folder
from assay.exporters.audit import (
    AuditLogError,
    NotFoundError,
    Query,
    TrustedKeys,
    load_trusted,
    prove,
    query,
    verify_proof,
)
from assay.semconv import attributes as keys

LIMIT = 200
"""Most audit records that are proven."""

_LOGGED = (
    keys.AUDIT_ACTOR_ID,
    keys.AUDIT_ACTION,
    keys.AUDIT_TARGET_ID,
    keys.AUDIT_OUTCOME,
    keys.AUDIT_RECORD_ID,
)

State = Literal["verified", "pending", "unverified"]


@dataclass(frozen=True)
class Proof:
    """The proof that the log contains a record.

    Args:
        state: `verified`: a signed checkpoint commits to the record. `pending`: no checkpoint covers it yet.
            `unverified`: it could not be verified.
        leaf: Index of the record's leaf.
        size: Number of leaves that the checkpoint covers; 0 without one.
        key: Name and id of the key that signed it, or empty.
        reason: Why the record is not verified, or empty.
    """

    state: State
    leaf: int
    size: int = 0
    key: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Entry:
    """An audit record, as its leaf has it: a proof covers the leaf, not the columns of the table.

    Args:
        id: Its id.
        time: When it happened, RFC 3339.
        event: Name of its event.
        actor: Id of the actor.
        action: Such as `APPROVE`.
        target: Id of the target.
        outcome: `success`, `failure` or `unknown`.
        proof: Its proof.
    """

    id: str
    time: str
    event: str
    actor: str
    action: str
    target: str
    outcome: str
    proof: Proof


@dataclass(frozen=True)
class Trail:
    """The audit records of a run.

    Args:
        entries: The records, in the order of the log.
        has_more: Whether there are more than the limit.
        fault: Why the log could not be read, or empty.
    """

    entries: list[Entry]
    has_more: bool = False
    fault: str = ""


def read_trail(folder: Folder, run: str, correlation_ids: Iterable[str]) -> Trail:
    """Return the records of a run: those with its correlation ids, and those whose target it is.

    Args:
        folder: The folder of `assay up`.
        run: Id of the run.
        correlation_ids: Its correlation ids.
    """
    if not folder.database.exists():
        return Trail([], fault=f"{folder.database} does not exist: no audit record has arrived")
    found: dict[int, dict[str, Any]] = {}
    try:
        criteria = [Query(correlation_id=each) for each in sorted({run, *correlation_ids})]
        for each in (*criteria, Query(target=run)):
            for record in islice(query(folder.database, each), LIMIT + 1):
                found[record["leaf_index"]] = record
    except AuditLogError as error:
        return Trail([], fault=str(error))
    leaves = sorted(found)
    return Trail(
        list(_entries(folder, (found[leaf] for leaf in leaves[:LIMIT]))), has_more=len(leaves) > LIMIT
    )


def _entries(folder: Folder, records: Iterable[dict[str, Any]]) -> Iterator[Entry]:
    try:
        trusted, missing = load_trusted(folder.verifier_key), ""
    except AuditLogError as error:
        trusted, missing = None, str(error)
    for record in records:
        proof = Proof("unverified", record["leaf_index"], reason=missing)
        if trusted is not None:
            proof = _proof(folder, record["leaf_index"], trusted)
        yield _entry(record, proof)


def _entry(record: Mapping[str, Any], proof: Proof) -> Entry:
    logged = record["attributes"]
    actor, action, target, outcome, record_id = (str(logged.get(key) or "") for key in _LOGGED)
    event = str(json.loads(record["leaf"])["record"].get("eventName") or "")
    return Entry(record_id, record["happened_at"], event, actor, action, target, outcome, proof)


def _proof(folder: Folder, leaf: int, trusted: TrustedKeys) -> Proof:
    try:
        proven = verify_proof(prove(folder.database, leaf), trusted)
    except NotFoundError as error:
        return Proof("pending", leaf, reason=str(error))
    except AuditLogError as error:
        return Proof("unverified", leaf, reason=str(error))
    checkpoint = proven.checkpoint
    signers = " or ".join(key.id.hex() for key in trusted.keys)
    return Proof("verified", leaf, checkpoint.size, f"{checkpoint.origin} (key {signers})")
