"""Source, registry and documentation avoid a few phrases that make a reader read twice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PATTERNS = (
    "*.md",
    "[!.]*/*.md",
    "[!.]*/*/README.md",
    "docs/*/**/*.md",
    "semconv/registry/**/*.yaml",
    "collector-config/**/*.yaml",
    "[!.]*/src/**/*.py",
    "[!.]*/*/src/**/*.py",
)
PHRASES = {
    "'is not a' instead of 'is no'": r"(?<!there )\b(is|are|was|were) no (?!(longer|more|less|fewer)\b)[a-z]",
    "'emit', 'report' or 'notify' instead of 'tell'": r"\b(told|tells?|telling)\b(?!\()",
    "a subject that is not a clause with 'what'": r'^\s*("""|# )What (?!.*\?)',
}


@pytest.mark.parametrize("remedy", PHRASES)
def test_prose_is_plain(remedy):
    phrase = re.compile(PHRASES[remedy], re.IGNORECASE)
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}: {line.strip()}"
        for pattern in PATTERNS
        for path in sorted(REPOSITORY.glob(pattern))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if phrase.search(line)
    ]
    assert not found, f"use {remedy}:\n" + "\n".join(found)
