"""The code in the documentation runs: Python blocks, and the console blocks of pages that say where."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    [REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("*/*/README.md")]
)
BLOCK = re.compile(r"^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLED = re.compile(r'^```\w+ title="(?P<title>[\w.]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z")


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of one language that the page does not exempt, with a reason, on the line before."""
    text = page.read_text(encoding="utf-8")
    return [
        match["code"]
        for match in BLOCK.finditer(text)
        if match["language"] == language and not NOT_RUN.search(text[: match.start()])
    ]


def write_titled(page: Path, folder: Path) -> None:
    """Write the blocks that have a title as the files that they are."""
    for match in TITLED.finditer(page.read_text(encoding="utf-8")):
        (folder / match["title"]).write_text(match["code"], encoding="utf-8")


def with_blocks(language: str) -> list[str]:
    return [str(page.relative_to(REPOSITORY)) for page in PAGES if blocks(page, language)]


@pytest.mark.parametrize("page", with_blocks("python"))
def test_python_blocks_run_in_order(page, tmp_path):
    """A page's blocks are one program: a later one may use what an earlier one defined."""
    write_titled(REPOSITORY / page, tmp_path)
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(blocks(REPOSITORY / page, "python")), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_auditors_page_runs_on_a_real_log(demo_folder, tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(demo_folder, folder)
    (folder / "kept").mkdir()
    commands = [
        line.removeprefix("$ ")
        for block in blocks(REPOSITORY / "docs/how-to/check-an-audit-log.md", "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert commands
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_site_builds_without_a_broken_link(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
