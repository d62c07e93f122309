"""The type of a git failure, by the message that git wrote.

git has one exit code for most failures, so only its messages distinguish them. GitPython runs git with the
locale C.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from opentelemetry.instrumentation.alumiini.git_operations import GIT_ERROR

from assay.instrumentation import Foreign

_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "git_timeout": (r"Timeout: the command", r"timed out", r"Operation too slow"),
    "git_auth": (
        r"Authentication failed",
        r"could not read (?:Username|Password)",
        r"Permission denied \(",
        r"terminal prompts disabled",
        r"returned error: 40[13]",
        r"Invalid username or password",
        r"HTTP Basic: Access denied",
    ),
    "git_host_key": (r"Host key verification failed",),
    "git_repository_not_found": (
        r"[Rr]epository .*not found",
        r"does not appear to be a git repository",
        r"does not exist",
        r"returned error: 404",
        r"not a git repository",
    ),
    "git_ref_not_found": (
        r"[Cc]ouldn't find remote ref",
        r"Remote branch .* not found",
        r"did not match any",
        r"unknown revision",
        r"not our ref",
        r"invalid reference",
        r"src refspec .* does not match",
    ),
    "git_conflict": (
        r"CONFLICT",
        r"would be overwritten",
        r"Not possible to fast-forward",
        r"divergent branches",
        r"non-fast-forward",
        r"\[(?:remote )?rejected\]",
        r"fetch first",
        r"unmerged files",
        r"already exists and is not an empty",
    ),
    "git_locked": (r"\.lock': File exists",),
    "git_network": (
        r"Could not resolve host",
        r"Connection (?:refused|reset|closed)",
        r"Failed to connect|Couldn't connect",
        r"Network is unreachable|No route to host",
        r"unable to access",
        r"early EOF|hung up unexpectedly",
        r"Could not read from remote",
        r"SSL|certificate",
    ),
}
"""git's messages by type, in the order in which they are tried: git adds general ones to specific ones."""
_PATTERNS = tuple((kind, re.compile("|".join(messages))) for kind, messages in _MESSAGES.items())


def type_of(error: BaseException) -> str:
    """Return the type of an exception that a git operation raised, such as `git_auth`.

    The command line is not searched, because a URL or a branch may contain any words.
    """
    if type(error).__name__ == "GitCommandNotFound":
        return "git_not_installed"
    foreign: Foreign = error
    message = f"{getattr(foreign, 'stderr', '')}\n{getattr(foreign, 'stdout', '')}"
    return type_of_message(message if message.strip() else str(error))


def type_of_message(message: str) -> str:
    """Return the type of a failure by git's message."""
    for kind, pattern in _PATTERNS:
        if pattern.search(message):
            return kind
    return GIT_ERROR
