"""The repository that an event is about."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

UNKNOWN = "unknown"
"""Value of a required field that nobody has set."""

_SCP_FORM = re.compile(r"(?:(?P<user>[^@/]+)@)?(?P<host>\[[^\]]+\]|[^/:@]{2,}):(?P<path>(?!//).+)")
"""`user@host:path`, as `git clone` takes it (gitprotocol, "GIT URLS"). One letter is a drive of Windows."""


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository that a controller syncs.

    Args:
        name: Its name: the label `repo_name` of the series.
        url: Its URL. Credentials and query are removed.
        branch: The branch that the controller follows.
        commit: The revision that the controller applies.
        path: Folder of the manifests in it.
        rollout_ref: The rollout that a sync of it hands over to KULTA.
    """

    name: str
    url: str | None = None
    branch: str | None = None
    commit: str | None = None
    path: str | None = None
    rollout_ref: str | None = None

    def __post_init__(self) -> None:
        """Remove the credentials from the URL."""
        if self.url is not None:
            object.__setattr__(self, "url", without_credentials(self.url))


def combine(known: Repository, found: Repository) -> Repository | None:
    """Return what is known of a repository, completed by what an operation has found out about it.

    Returns:
        The repository under its known name; None if the operation is on another one, with another URL.
    """
    if known.url is not None and found.url is not None and known.url != found.url:
        return None
    return Repository(
        known.name,
        known.url or found.url,
        found.branch or known.branch,
        found.commit or known.commit,
        found.path or known.path,
        found.rollout_ref or known.rollout_ref,
    )


def without_credentials(url: str) -> str:
    """Return a git URL without user, password, query and fragment; the user of an ssh URL stays.

    Args:
        url: A URL, the form `user@host:path`, or a path of the file system.
    """
    if "@" not in url and "?" not in url and "#" not in url:
        return url
    if "://" not in url:
        found = _SCP_FORM.fullmatch(url)
        if found is None or found["user"] is None:
            return url
        return f"{found['user'].partition(':')[0]}@{found['host']}:{found['path']}"
    scheme, rest = url.split("://", 1)
    authority, slash, path = rest.partition("/")
    user, at, host = authority.rpartition("@")
    if at and scheme.endswith("ssh"):
        host = f"{user.partition(':')[0]}@{host}"
    try:
        parts = urlsplit(f"{scheme}://{host}{slash}{path}")
    except ValueError:  # an invalid IPv6 address
        return f"{scheme}://{host}"
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def name_of(url: str) -> str:
    """Return the name of the repository at a URL: the last part of its path, without `.git`."""
    clean = without_credentials(url).replace("\\", "/").rstrip("/")
    last = re.split(r"[/:]", clean)[-1]
    if last == ".git":
        last = re.split(r"[/:]", clean.removesuffix("/.git"))[-1]
    return last.removesuffix(".git") or UNKNOWN
