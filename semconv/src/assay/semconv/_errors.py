"""Errors that name a place in a registry file."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class SemconvError(Exception):
    """Base of every error that this package raises."""


class RegistryError(SemconvError):
    """A registry file cannot be used.

    Args:
        problem: The problem, as a sentence whose subject is the file or a definition.
        path: The file.
        line: The line, counted from 1.
        remedy: The remedy, as an instruction to the author.
    """

    def __init__(self, problem: str, *, path: Path, line: int, remedy: str = "") -> None:
        self.problem = problem
        self.path = path
        self.line = line
        self.remedy = remedy
        super().__init__(f"{path}:{line}: {problem}" + (f"; {remedy}" if remedy else ""))


def nearest(word: str, known: Iterable[str]) -> str:
    """Return `did you mean …?` with the most similar known word, or an empty text if none is similar."""
    close = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else ""
