"""Verify the cosignatures of a log's checkpoints against a policy of witnesses."""

from __future__ import annotations

from dataclasses import dataclass

from assay.exporters.audit._cosigned import cosigned_note
from assay.exporters.audit._errors import QuorumError, SignatureError
from assay.exporters.audit._storage import Reader
from assay.proof.cosignature import WitnessKey, cosignatures
from assay.proof.policy import Policy


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The checkpoints that a witness cosigned.

    Args:
        key: The key of the witness.
        count: Number of its cosignatures; all of them verify.
        newest: Size of the newest checkpoint that it cosigned; 0 if there is none.
    """

    key: WitnessKey
    count: int
    newest: int


class CosignatureChecker:
    """Checks the cosignatures of one checkpoint after the other.

    Args:
        connection: The log, within a transaction.
        policy: The witnesses. None: only the form of the cosignatures is checked.
    """

    def __init__(self, connection: Reader, policy: Policy | None) -> None:
        self._connection = connection
        self._policy = policy
        self._cosigned = {key: Cosigned(key, 0, 0) for key in policy.keys} if policy else {}
        self._witnessed = 0

    def check(self, size: int, note: str) -> None:
        """Verify the cosignatures of the next checkpoint; those of other witnesses are ignored.

        Raises:
            SignatureError: One of them is wrong, or not a signature line.
        """
        try:
            found = cosignatures(cosigned_note(self._connection, size, note), self._cosigned)
        except SignatureError as error:
            raise SignatureError(f"checkpoint {size}: {error}") from error
        for each in found:
            self._cosigned[each.key] = Cosigned(each.key, self._cosigned[each.key].count + 1, size)
        if self._policy is not None and self._policy.is_met([each.key for each in found]):
            self._witnessed = size

    def cosigners(self) -> tuple[Cosigned, ...]:
        """Return the witnesses of the policy, each with what it cosigned."""
        return tuple(self._cosigned.values())

    def witnessed(self) -> int:
        """Return the size of the newest checkpoint that has the quorum; call it after the last checkpoint.

        Raises:
            QuorumError: No checkpoint has it.
        """
        if self._policy is not None and self._policy.quorum is not None and not self._witnessed:
            raise QuorumError(
                f"no checkpoint of an entry has the cosignatures that the policy requires: {self._policy}"
            )
        return self._witnessed
