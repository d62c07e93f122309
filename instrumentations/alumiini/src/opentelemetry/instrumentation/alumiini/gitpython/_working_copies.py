"""Working copies: branch, revision, remotes and fetched refs, read from git's files.

A process of git for each of these answers would cost more than a short fetch. The formats are those of
gitrepository-layout; configuration is read by GitPython.
"""

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


class WorkingCopy:
    """The git directory of a working tree, or a bare repository.

    Args:
        git_directory: The git directory.
    """

    def __init__(self, git_directory: Path) -> None:
        self._own = git_directory
        self._shared = git_directory
        with suppress(OSError):  # the git directory of a linked working tree names the main one
            self._shared = git_directory / (git_directory / "commondir").read_text("utf-8").strip()

    def branch(self) -> str | None:
        """Return the branch that is checked out; None if HEAD is detached."""
        reference = self._reference("HEAD")
        return reference.removeprefix(HEADS) if reference.startswith(HEADS) else None

    def head(self) -> str | None:
        """Return the revision that is checked out."""
        reference = self._reference("HEAD")
        if not reference.startswith("refs/"):
            return reference or None
        with suppress(OSError):
            return (self._shared / reference).read_text("utf-8").strip()
        return self._packed().get(reference)

    def remote_refs(self) -> Refs:
        """Return the revisions of the remotes' branches, as they were fetched last."""
        found = {name: revision for name, revision in self._packed().items() if name.startswith(REMOTES)}
        top = self._shared / REMOTES
        for folder, _, files in os.walk(top):
            for name in files:
                path = Path(folder, name)
                with suppress(OSError):
                    text = path.read_text("utf-8").strip()
                    if not text.startswith("ref:"):
                        found[path.relative_to(self._shared).as_posix()] = text
        return found

    def fetch_head(self) -> dict[str, tuple[str, bool]]:
        """Return the revisions of the last fetch, and whether they are for merging, by their origins."""
        found: dict[str, tuple[str, bool]] = {}
        with suppress(OSError):
            for line in (self._own / "FETCH_HEAD").read_text("utf-8", "replace").splitlines():
                revision, note, origin = (*line.split("\t", 2), "", "")[:3]
                found[origin] = (revision, note != "not-for-merge")
        return found

    def remote(self, name: str | None) -> tuple[str | None, str | None]:
        """Return name and URL of a remote.

        Args:
            name: The remote. None: that of the branch, else `origin`, else the only one.
        """
        remotes, upstreams = self._configured()
        if name is None:
            name = upstreams.get(self.branch() or "", "origin")
            if name not in remotes and len(remotes) == 1:
                (name,) = remotes
        return (name, remotes[name]) if name in remotes else (None, None)

    def describe(self, remote: str | None = None) -> Repository:
        """Return what is known of the repository.

        Args:
            remote: The remote whose URL is meant; None as in `remote`.
        """
        _, url = self.remote(remote)
        folder = self._own.parent if self._own.name == ".git" else self._own
        name = name_of(url) if url else folder.name.removesuffix(".git")
        return Repository(name or UNKNOWN, url, self.branch(), self.head())

    def _reference(self, name: str) -> str:
        """Return the ref that a symbolic ref names, else its revision; empty if it does not exist."""
        with suppress(OSError):
            return (self._own / name).read_text("utf-8").strip().removeprefix("ref:").strip()
        return ""

    def _packed(self) -> Refs:
        path = self._shared / "packed-refs"
        try:
            status = path.stat()
        except OSError:
            return {}
        return _read_packed(str(path), status.st_mtime_ns, status.st_size)

    def _configured(self) -> tuple[Mapping[str, str], Mapping[str, str]]:
        """Return the URLs of the remotes, and the remotes of the branches."""
        path = self._shared / "config"
        try:
            status = path.stat()
        except OSError:
            return {}, {}
        return _read_config(str(path), status.st_mtime_ns, status.st_size)


def find(folder: str | Path) -> WorkingCopy | None:
    """Return the working copy that a folder belongs to; None if it does not belong to one."""
    start = Path(folder).absolute()
    for path in (start, *start.parents):
        with suppress(OSError):
            if (path / ".git").is_dir():
                return WorkingCopy(path / ".git")
            if (path / ".git").is_file():  # of a linked working tree, or of a submodule
                named = (path / ".git").read_text("utf-8").strip().removeprefix("gitdir:").strip()
                return WorkingCopy(path / named)
            if (path / "HEAD").is_file() and (path / "objects").is_dir():
                return WorkingCopy(path)
    return None


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
