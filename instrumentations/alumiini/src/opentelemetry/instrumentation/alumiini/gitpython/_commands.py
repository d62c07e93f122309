"""Read a git command line: which operation it is, and on which repository."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from opentelemetry.instrumentation.alumiini.git_operations import GitAction

_ACTIONS: dict[str, GitAction] = {
    "clone": "clone",
    "fetch": "fetch",
    "pull": "pull",
    "push": "push",
    "checkout": "checkout",
    "switch": "checkout",
    "ls-remote": "ls_remote",
}
_GLOBAL_WITH_VALUE = frozenset(
    {"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--super-prefix", "--config-env"}
)
"""Options before the command whose value is the next argument (git, "OPTIONS")."""
_WITH_VALUE = frozenset(
    {
        *("-b", "-B", "-c", "-C", "-j", "-o", "-r", "-u", "-X", "-s"),
        *("--branch", "--config", "--depth", "--deepen", "--filter", "--jobs", "--origin", "--reference"),
        *("--separate-git-dir", "--server-option", "--shallow-exclude", "--shallow-since", "--template"),
        *("--upload-pack", "--receive-pack", "--exec", "--push-option", "--refmap", "--strategy", "--repo"),
        *("--strategy-option", "--orphan", "--reference-if-able", "--bundle-uri", "--negotiation-tip"),
    }
)
"""Options of the commands whose value may be the next argument."""


@dataclass(frozen=True, slots=True)
class GitCommand:
    """A git command that is an operation.

    Args:
        action: The operation.
        operands: Its arguments that are not options.
        folder: The folder that it runs in.
    """

    action: GitAction
    operands: tuple[str, ...]
    folder: str


def parse(command: object, folder: str) -> GitCommand | None:
    """Return the operation of a command line; None if it is another command.

    Args:
        command: The program and its arguments.
        folder: The folder that git is started in.
    """
    if isinstance(command, (str, bytes)) or not isinstance(command, Sequence):
        return None  # a line for a shell
    words = [
        os.fsdecode(word) if isinstance(word, bytes) else str(word)
        for word in cast("Sequence[object]", command)
    ]
    at, folder = _skip_global(words, folder)
    if at >= len(words):
        return None
    name, rest = words[at], words[at + 1 :]
    if name == "remote":  # `git remote update` fetches all remotes
        return GitCommand("fetch", (), folder) if _operands(rest)[:1] == ("update",) else None
    action = _ACTIONS.get(name)
    return None if action is None else GitCommand(action, _operands(rest), folder)


def _skip_global(words: list[str], folder: str) -> tuple[int, str]:
    """Return the index of the command's name, and the folder after `-C` and `--git-dir`."""
    at = 1
    while at < len(words) and words[at].startswith("-"):
        option, _, value = words[at].partition("=")
        if option in _GLOBAL_WITH_VALUE and not value:
            at += 1
            value = words[at] if at < len(words) else ""
        if option in {"-C", "--git-dir"}:
            folder = os.path.join(folder, value)  # noqa: PTH118 - git keeps `..` after a symbolic link
        at += 1
    return at, folder


def _operands(words: list[str]) -> tuple[str, ...]:
    if "--" in words:
        return tuple(words[words.index("--") + 1 :])
    found: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = word in _WITH_VALUE
        else:
            found.append(word)
    return tuple(found)
