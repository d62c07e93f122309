"""Policies of witnesses: https://c2sp.org/tlog-policy. A policy says which cosignatures a checkpoint needs.

witness w1 witness.example.com/w1+1f33a39d+BPt… https://witness.example.com
witness w2 witness.example.org/w2+8a1c0e52+BKw… https://witness.example.org
witness w3 witness.example.net/w3+77e0b1aa+BJ0… https://witness.example.net
group all-three 2 w1 w2 w3
quorum all-three
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeAlias

from assay.proof.cosignature import Cosignature, WitnessKey, cosignatures
from assay.proof.errors import KeyFormatError, QuorumError
from assay.proof.note import VerifierKey

_FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_WHITESPACE = re.compile(r"[ \t]+")  # "only" these two: str.split knows more
_THRESHOLD = re.compile(r"[1-9][0-9]{0,5}").fullmatch
_NONE = "none"


@dataclass(frozen=True, slots=True)
class PolicyWitness:
    """A witness of a policy.

    Args:
        name: Its name within the policy.
        key: Its key.
        url: Prefix of its URL, to which `/add-checkpoint` is appended; empty if the policy has none.
    """

    name: str
    key: WitnessKey
    url: str


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    threshold: int
    members: tuple[_Group | PolicyWitness, ...]


_Member: TypeAlias = _Group | PolicyWitness


@dataclass(frozen=True, slots=True)
class Policy:
    """A quorum of witnesses.

    Lines that name logs are checked and not used: the log's keys come from the caller.

    Args:
        witnesses: All witnesses.
        quorum: The witness or the group that a checkpoint needs; None: it needs no cosignature.
    """

    witnesses: tuple[PolicyWitness, ...]
    quorum: _Member | None

    @classmethod
    def parse(cls, text: str) -> Policy:
        """Parse a policy file.

        Raises:
            KeyFormatError: A line is malformed, a name or key occurs twice, or the quorum is missing.
        """
        if _FORBIDDEN.search(text):
            raise KeyFormatError("not a policy: it has control characters")
        reader = _Reader()
        for number, line in enumerate(text.split("\n"), 1):
            words = _WHITESPACE.split(line.strip(" \t"))
            if words[0] and not words[0].startswith("#"):
                try:
                    reader.read(words)
                except KeyFormatError as error:
                    raise KeyFormatError(f"line {number} of the policy: {error}") from error
        return reader.policy()

    @property
    def keys(self) -> tuple[WitnessKey, ...]:
        """The keys of all witnesses."""
        return tuple(witness.key for witness in self.witnesses)

    def is_met(self, cosigned: Collection[WitnessKey]) -> bool:
        """Return whether the witnesses with these keys are a quorum."""
        return self.quorum is None or _is_met(self.quorum, cosigned)

    def verify(self, note: str) -> list[Cosignature]:
        """Verify that a checkpoint has its quorum of cosignatures.

        Returns:
            The cosignatures of all witnesses of the policy that cosigned it.

        Raises:
            SignatureError: The note is malformed, or a cosignature of one of the witnesses is wrong.
            QuorumError: The checkpoint lacks cosignatures.
        """
        found = cosignatures(note, self.keys)
        if not self.is_met([each.key for each in found]):
            names = ", ".join(each.key.name for each in found) or "no witness"
            raise QuorumError(f"the checkpoint is cosigned by {names}, the policy requires {self}")
        return found

    def __str__(self) -> str:
        return "no cosignature" if self.quorum is None else _describe(self.quorum)


class _Reader:
    """Reads the lines of a policy; a name must be defined before it is used."""

    def __init__(self) -> None:
        self._witnesses: list[PolicyWitness] = []
        self._members: dict[str, _Member] = {}
        self._grouped: set[str] = set()
        self._keys: set[tuple[str, bytes]] = set()
        self._quorum: list[_Member | None] = []

    def read(self, words: list[str]) -> None:
        """Read the words of one line.

        Raises:
            KeyFormatError: The line is malformed.
        """
        kinds: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._set_quorum,
        }
        if words[0] not in kinds:
            raise KeyFormatError(f"{words[0][:40]!r} is unknown: expected log, witness, group or quorum")
        kinds[words[0]](words[1:])

    def policy(self) -> Policy:
        """Return the policy; call it after the last line.

        Raises:
            KeyFormatError: The quorum is missing.
        """
        if not self._quorum:
            raise KeyFormatError("the policy has no quorum line")
        return Policy(tuple(self._witnesses), self._quorum[0])

    def _log(self, words: list[str]) -> None:
        if len(words) not in {1, 2}:
            raise KeyFormatError("expected log <key> [<url>]")
        self._add_key("log", VerifierKey.parse(words[0]).public)

    def _witness(self, words: list[str]) -> None:
        if len(words) not in {2, 3}:
            raise KeyFormatError("expected witness <name> <key> [<url>]")
        witness = PolicyWitness(words[0], WitnessKey.parse(words[1]), words[2] if words[2:] else "")
        self._add_key("witness", witness.key.public)
        self._define(witness)
        self._witnesses.append(witness)

    def _group(self, words: list[str]) -> None:
        if len(words) < 3:  # noqa: PLR2004  name, threshold, a member
            raise KeyFormatError("expected group <name> all|any|<number> <name>…")
        name, threshold, *names = words
        members = tuple(self._member(each) for each in names)
        if self._grouped & set(names) or len(set(names)) != len(names):
            raise KeyFormatError(f"a member of {name[:40]!r} is already in a group")
        self._grouped |= set(names)
        count = {"all": len(members), "any": 1}.get(threshold)
        if count is None:
            count = int(threshold) if _THRESHOLD(threshold) else 0
        if not 0 < count <= len(members):
            raise KeyFormatError(f"the threshold must be all, any, or a number from 1 to {len(members)}")
        self._define(_Group(name, count, members))

    def _set_quorum(self, words: list[str]) -> None:
        if len(words) != 1 or self._quorum:
            raise KeyFormatError("expected one line quorum <name>")
        self._quorum.append(None if words[0] == _NONE else self._member(words[0]))

    def _define(self, member: _Member) -> None:
        if member.name in self._members or member.name == _NONE:
            raise KeyFormatError(f"the name {member.name[:40]!r} is already in use")
        self._members[member.name] = member

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            raise KeyFormatError(f"{name[:40]!r} must be defined on a line before")
        return self._members[name]

    def _add_key(self, kind: str, public: bytes) -> None:
        if (kind, public) in self._keys:
            raise KeyFormatError(f"the key is also that of another {kind}")
        self._keys.add((kind, public))


def _is_met(member: _Member, cosigned: Collection[WitnessKey]) -> bool:
    if isinstance(member, PolicyWitness):
        return member.key in cosigned
    return sum(_is_met(each, cosigned) for each in member.members) >= member.threshold


def _describe(member: _Member) -> str:
    if isinstance(member, PolicyWitness):
        return member.key.name
    members = ", ".join(map(_describe, member.members))
    return f"{member.threshold} of {len(member.members)} ({members})"
