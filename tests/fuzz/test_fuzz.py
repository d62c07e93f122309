"""Every fuzz target passes its corpus, and a minute of mutation."""

from __future__ import annotations

import base64
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SECONDS = 60
INPUT_SECONDS = 30
"""Seconds after which an input counts as one that never ends."""
FINDINGS = ("crash-*", "leak-*", "oom-*", "timeout-*")


def load_targets():
    spec = importlib.util.spec_from_file_location("fuzz_targets", FOLDER / "targets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.TARGETS


TARGETS = load_targets()

needs_atheris = pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python"
)


def fuzz(name: str, folder: Path, *, seconds: int = SECONDS, run: Path = FOLDER / "run.py") -> None:
    """Fuzz a target in a folder of its own, and fail with the input of a finding.

    The seed is fixed; the inputs still differ from run to run, and a faster machine gets further. A finding
    is mended, and its input goes into the corpus.
    """
    new = folder / "new"
    new.mkdir(parents=True)
    done = subprocess.run(
        [
            sys.executable,
            run,
            name,
            new,
            run.parent / "corpus" / name,
            f"-max_total_time={seconds}",
            "-seed=1",
            f"-timeout={INPUT_SECONDS}",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds + 2 * INPUT_SECONDS + 60,
        check=False,
    )
    inputs = [path for pattern in FINDINGS for path in folder.glob(pattern)]
    findings = [f"{path}\nin base64: {base64.b64encode(path.read_bytes()).decode()}" for path in inputs]
    assert done.returncode == 0, "\n".join(
        [f"the fuzz target {name} fails", *findings, done.stdout[-2000:], done.stderr[-4000:]]
    )


@pytest.fixture(scope="module")
def fuzzed(side_by_side, tmp_path_factory):
    """Fuzz the chosen targets side by side."""
    folder = tmp_path_factory.mktemp("fuzz")
    return side_by_side(
        "test_a_target_passes_a_minute_of_mutation", "name", lambda name: fuzz(name, folder / name)
    )


def test_every_target_has_a_corpus():
    assert {folder.name for folder in (FOLDER / "corpus").iterdir()} == TARGETS.keys()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_passes_its_corpus(name):
    for path in sorted((FOLDER / "corpus" / name).iterdir()):
        TARGETS[name](path.read_bytes())


BROKEN = """
def broken(data):
    assert not data.startswith(b"bad")
TARGETS = {"broken": broken}
"""


@needs_atheris
def test_a_finding_names_its_target_and_its_input(tmp_path):
    run = tmp_path / "run.py"
    run.write_text((FOLDER / "run.py").read_text())
    (tmp_path / "targets.py").write_text(BROKEN)
    corpus = tmp_path / "corpus" / "broken"
    corpus.mkdir(parents=True)
    (corpus / "seed").write_bytes(b"bad input")
    with pytest.raises(AssertionError) as failure:
        fuzz("broken", tmp_path / "found", seconds=2, run=run)
    assert "the fuzz target broken fails" in str(failure.value)
    assert base64.b64encode(b"bad input").decode() in str(failure.value)


@pytest.mark.slow
@needs_atheris
@pytest.mark.parametrize("name", TARGETS)
def test_a_target_passes_a_minute_of_mutation(name, fuzzed):
    fuzzed(name)
