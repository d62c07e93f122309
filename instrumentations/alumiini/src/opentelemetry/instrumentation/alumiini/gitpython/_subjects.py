"""An operation before git runs: what it is about, and the state to compare with afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from opentelemetry.instrumentation.alumiini.git_operations import GitAction, git_cloned, git_fetched
from opentelemetry.instrumentation.alumiini.gitpython import _new_revisions, _working_copies
from opentelemetry.instrumentation.alumiini.gitpython._commands import GitCommand
from opentelemetry.instrumentation.alumiini.gitpython._new_revisions import Before
from opentelemetry.instrumentation.alumiini.gitpython._working_copies import WorkingCopy
from opentelemetry.instrumentation.alumiini.repositories import Repository, name_of

_FETCHES = frozenset({"fetch", "pull"})


@dataclass(frozen=True, slots=True)
class Subject:
    """Subject of a git operation.

    Args:
        action: The operation.
        repository: What is known of the repository.
        copy: The working copy that git runs in.
        before: The working copy's state before a fetch.
        target: The folder that a clone makes.
    """

    action: GitAction
    repository: Repository | None
    copy: WorkingCopy | None = None
    before: Before | None = None
    target: Path | None = None

    def after(self, *, duration_ns: int) -> Repository | None:
        """Emit the event of a successful clone or fetch; return what is known of the repository now.

        Args:
            duration_ns: Duration of the operation, in nanoseconds.
        """
        known = self.repository
        copy = self.copy if self.target is None else _working_copies.find(str(self.target))
        if known is None or copy is None:
            return known
        if self.action in {"clone", "checkout", "pull"}:
            known = _at(known, *copy.checked_out())
        if self.action == "clone":
            git_cloned(known, duration_ns=duration_ns)
        new = None if self.before is None else _new_revisions.find(copy, self.before)
        if new is not None:
            known = _at(known, new.branch, new.commit)
            git_fetched(known, duration_ns=duration_ns)
        return known


def of_clone(url: str, target: Path) -> Subject:
    """Return the subject of a clone.

    Args:
        url: The URL that is cloned.
        target: The folder that it is cloned into.
    """
    return Subject("clone", Repository(name_of(url), url), target=target)


def of_remote(action: GitAction, copy: WorkingCopy, remote: str) -> Subject:
    """Return the subject of an operation on a remote.

    Args:
        action: The operation.
        copy: The working copy that git runs in.
        remote: Name of the remote.
    """
    return _with_state(Subject(action, copy.describe(remote), copy))


def of_command(command: GitCommand) -> Subject:
    """Return the subject of a command."""
    operands = command.operands
    if command.action == "clone":
        url = operands[0] if operands else ""
        target = operands[1] if len(operands) > 1 else name_of(url)
        return of_clone(url, Path(command.folder, target))
    copy = _working_copies.find(command.folder)
    named = operands[0] if operands and command.action != "checkout" else None
    if named is not None and (copy is None or copy.remote(named)[1] is None):
        return _with_state(Subject(command.action, Repository(name_of(named), named), copy))
    return _with_state(Subject(command.action, None if copy is None else copy.describe(named), copy))


def _with_state(subject: Subject) -> Subject:
    if subject.copy is None or subject.action not in _FETCHES:
        return subject
    before = _new_revisions.state(subject.copy)
    return Subject(subject.action, subject.repository, subject.copy, before)


def _at(repository: Repository, branch: str | None, commit: str | None) -> Repository:
    return Repository(
        repository.name, repository.url, branch or repository.branch, commit or repository.commit
    )
