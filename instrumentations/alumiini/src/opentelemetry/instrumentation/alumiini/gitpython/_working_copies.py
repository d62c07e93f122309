"""Working copies: branch, revision, remotes and fetched refs, read from git's files.

A process of git for each of these answers would cost more than a short fetch. The formats are those of
gitrepository-layout; configuration is read by GitPython.
"""

# With pathlib, the files' paths cost more than reading the files.
# ruff: noqa: PTH109, PTH112, PTH113, PTH116, PTH118

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from opentelemetry.instrumentation.alumiini.repositories import UNKNOWN, Repository, name_of

from assay.instrumentation import Foreign

HEADS = "refs/heads/"
REMOTES = "refs/remotes/"

Refs = Mapping[str, str]
"""Revisions by the names of their refs."""

_PART = 65_536
"""Bytes that are read at once. A read of a file that returns fewer is the last one."""


class WorkingCopy:
    """The git directory of a working tree, or a bare repository.

    Args:
        git_directory: The git directory.
        common_directory: That of the main working tree; None: the git directory names it if it is another.
    """

    # Between two git processes the processor's caches are cold, so each call and each system call counts.

    def __init__(self, git_directory: str, common_directory: str | None = None) -> None:
        self._own = git_directory
        self._shared = common_directory or _common_directory(git_directory)

    def checked_out(self) -> tuple[str | None, str | None]:
        """Return branch and revision that are checked out; the branch is None if HEAD is detached."""
        reference = (_read(f"{self._own}/HEAD") or "").removeprefix("ref:").strip()
        if not reference.startswith("refs/"):
            return None, reference or None
        branch = reference.removeprefix(HEADS) if reference.startswith(HEADS) else None
        revision = _read(f"{self._shared}/{reference}")
        return branch, self._packed().get(reference) if revision is None else revision

    def remote_refs(self) -> Refs:
        """Return the revisions of the remotes' branches, as they were fetched last."""
        found = {name: revision for name, revision in self._packed().items() if name.startswith(REMOTES)}
        for name in _files(self._shared, REMOTES):
            text = _read(f"{self._shared}/{name}")
            if text is not None and not text.startswith("ref:"):
                found[name] = text
        return found

    def fetch_head(self) -> dict[str, tuple[str, bool]]:
        """Return the revisions of the last fetch, and whether they are for merging, by their origins."""
        found: dict[str, tuple[str, bool]] = {}
        for line in (_read(f"{self._own}/FETCH_HEAD") or "").splitlines():
            revision, note, origin = (*line.split("\t", 2), "", "")[:3]
            found[origin] = (revision, note != "not-for-merge")
        return found

    def remote(self, name: str | None) -> tuple[str | None, str | None]:
        """Return name and URL of a remote.

        Args:
            name: The remote. None: that of the branch, else `origin`, else the only one.
        """
        return self._remote(name, self.checked_out()[0] if name is None else None)

    def describe(self, remote: str | None = None) -> Repository:
        """Return what is known of the repository.

        Args:
            remote: The remote whose URL is meant; None as in `remote`.
        """
        branch, commit = self.checked_out()
        _, url = self._remote(remote, branch)
        name = name_of(url) if url else _folder_name(self._own)
        return Repository(name or UNKNOWN, url, branch, commit)

    def _remote(self, name: str | None, branch: str | None) -> tuple[str | None, str | None]:
        remotes, upstreams = self._configured()
        if name is None:
            name = upstreams.get(branch or "", "origin")
            if name not in remotes and len(remotes) == 1:
                (name,) = remotes
        return (name, remotes[name]) if name in remotes else (None, None)

    def _packed(self) -> Refs:
        path = f"{self._shared}/packed-refs"
        try:
            status = os.stat(path)
        except OSError:
            return {}
        return _read_packed(path, status.st_mtime_ns, status.st_size)

    def _configured(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the URLs of the remotes, and the remotes of the branches."""
        path = f"{self._shared}/config"
        try:
            status = os.stat(path)
        except OSError:
            return {}, {}
        return _read_config(path, status.st_mtime_ns, status.st_size)


def find(folder: str) -> WorkingCopy | None:
    """Return the working copy that a folder belongs to; None if it does not belong to one."""
    # Not `abspath`, which removes `..` after a symbolic link.
    path = os.path.join(os.getcwd(), folder).rstrip(os.sep)
    while True:
        git_directory = _git_directory(path)
        if git_directory is not None:
            return WorkingCopy(git_directory)
        if not path:
            return None
        path = path.rpartition(os.sep)[0]


def _git_directory(folder: str) -> str | None:
    """Return the git directory of a working tree, or of a bare repository; None if a folder is neither."""
    inside = f"{folder}/.git"
    if os.path.isdir(inside):
        return inside
    named = _read(inside)
    if named is not None:  # of a linked working tree, or of a submodule
        return os.path.join(folder, named.removeprefix("gitdir:").strip())
    if os.path.isfile(f"{folder}/HEAD") and os.path.isdir(f"{folder}/objects"):
        return folder
    return None


def _folder_name(git_directory: str) -> str:
    folder = Path(git_directory)
    return (folder.parent if folder.name == ".git" else folder).name.removesuffix(".git")


def _common_directory(git_directory: str) -> str:
    """Return the directory of refs and configuration, which the one of a linked working tree names."""
    named = _read(f"{git_directory}/commondir")
    return git_directory if named is None else os.path.join(git_directory, named)


def _read(path: str) -> str | None:
    """Return the text of a file without the space around it; None if the file cannot be read."""
    try:
        file = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        parts = [os.read(file, _PART)]
        while len(parts[-1]) == _PART:
            parts.append(os.read(file, _PART))
    except OSError:
        return None
    finally:
        os.close(file)
    return b"".join(parts).decode("utf-8", "replace").strip()


def _files(top: str, folder: str) -> list[str]:
    """Return the paths, relative to `top`, of the files below a folder, whose path ends in a slash."""
    found: list[str] = []
    try:
        with os.scandir(f"{top}/{folder}") as entries:
            for entry in entries:
                if entry.is_dir():
                    found += _files(top, f"{folder}{entry.name}/")
                else:
                    found.append(f"{folder}{entry.name}")
    except OSError:
        pass  # the folder does not exist
    return found


@lru_cache(64)
def _read_packed(path: str, _mtime_ns: int, _size: int) -> Refs:
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in Path(path).read_text("utf-8", "replace").splitlines():
            revision, _, name = line.partition(" ")
            if name and revision[0] not in "#^":
                found[name] = revision
    return found


@lru_cache(64)
def _read_config(path: str, _mtime_ns: int, _size: int) -> tuple[Mapping[str, str], Mapping[str, str]]:
    from git.config import GitConfigParser  # noqa: PLC0415 - only a program that uses GitPython gets here

    urls: dict[str, str] = {}
    upstreams: dict[str, str] = {}
    with GitConfigParser(path, read_only=True) as config:
        parser: Foreign = config
        for section in parser.sections():
            kind, _, name = str(section).partition(" ")
            option, into = {"remote": ("url", urls), "branch": ("remote", upstreams)}.get(kind, ("", urls))
            if option and parser.has_option(section, option):
                into[name.strip('"')] = str(parser.get(section, option))
    return urls, upstreams
