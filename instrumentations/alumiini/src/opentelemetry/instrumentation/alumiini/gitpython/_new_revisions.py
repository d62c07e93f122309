"""Whether a fetch has got a revision that was not here before, and which one.

Decided by what git recorded: the refs of remotes before and after, and FETCH_HEAD for a fetch into no ref.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from opentelemetry.instrumentation.alumiini.gitpython._working_copies import REMOTES, Refs, WorkingCopy

_BRANCH = re.compile(r"branch '(?P<name>[^']+)' of ")


class Revision(NamedTuple):
    """A revision that was fetched.

    Args:
        commit: The revision.
        branch: The branch that it is on; None if it is not known.
    """

    commit: str
    branch: str | None


class Before(NamedTuple):
    """State of a working copy before a fetch.

    Args:
        refs: The refs of remotes.
        fetch_head: The revisions of the last fetch.
    """

    refs: Refs
    fetch_head: dict[str, tuple[str, bool]]


def state(copy: WorkingCopy) -> Before:
    """Return the state of a working copy, to be compared later."""
    return Before(copy.remote_refs(), copy.fetch_head())


def find(copy: WorkingCopy, before: Before) -> Revision | None:
    """Return the new revision of the followed branch, else another new revision; None if all are old."""
    changed = {
        name: revision for name, revision in copy.remote_refs().items() if before.refs.get(name) != revision
    }
    if changed:
        remote, _ = copy.remote(None)
        branch, _ = copy.checked_out()
        followed = f"{REMOTES}{remote}/{branch}"
        name = followed if followed in changed else min(changed)
        return Revision(changed[name], name.removeprefix(REMOTES).partition("/")[2] or None)
    return _without_ref(copy, before)


def _without_ref(copy: WorkingCopy, before: Before) -> Revision | None:
    """Return the new revision that only FETCH_HEAD names, such as of `git fetch <url>`."""
    fetched = copy.fetch_head()
    if fetched == before.fetch_head:
        return None
    _, head = copy.checked_out()
    known = {*before.refs.values(), head}
    for origin, (revision, is_for_merge) in fetched.items():
        old = before.fetch_head.get(origin)
        is_new = revision not in known if old is None else old[0] != revision
        if is_for_merge and is_new:
            found = _BRANCH.match(origin)
            return Revision(revision, found["name"] if found else None)
    return None
