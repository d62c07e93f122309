"""Every fuzz target passes its corpus, and a few seconds of mutation."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SECONDS = 2


def load_targets():
    spec = importlib.util.spec_from_file_location("fuzz_targets", FOLDER / "targets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TARGETS


TARGETS = load_targets()


def test_every_target_has_a_corpus():
    assert {folder.name for folder in (FOLDER / "corpus").iterdir()} == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_passes_its_corpus(name):
    for path in sorted((FOLDER / "corpus" / name).iterdir()):
        TARGETS[name](path.read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)
def test_a_target_passes_a_few_seconds_of_mutation(name, tmp_path):
    new = tmp_path / "new"
    new.mkdir()
    done = subprocess.run(
        [
            sys.executable,
            FOLDER / "run.py",
            name,
            new,
            FOLDER / "corpus" / name,
            f"-max_total_time={SECONDS}",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
