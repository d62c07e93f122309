"""The demo's programs are run to their end; what they started ends with them if they are cut short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from assay.cli._demo import application
from assay.cli._demo.errors import DemoError
from assay.instrumentation.testing import wait_until

STARTS_ANOTHER = ["sh", "-c", "sleep 600 & echo $! > started.part; mv started.part started; echo begun; wait"]


def has_ended(pid: int) -> bool:
    """Return whether a process has ended; until its new parent has asked for its status, it is a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(command, folder):
    return application.run("shop", command, folder / "log", os.environ)


def test_a_program_that_fails_is_named_with_its_output(folder):
    assert run(["true"], folder) == 0
    with pytest.raises(DemoError, match=r"the demo's shop exited with status 3; (?s:.*)no apples"):
        run(["sh", "-c", "echo no apples; exit 3"], folder)


def test_a_program_that_takes_too_long_ends_with_what_it_started(folder, monkeypatch):
    monkeypatch.setattr(application, "SECONDS", 3)
    with pytest.raises(DemoError, match=r"the demo's shop took longer than 3 s; (?s:.*)begun"):
        run(STARTS_ANOTHER, folder)
    wait_until(lambda: has_ended(int((folder / "started").read_text())))


INTERRUPTED = f"""
import os, pathlib, signal
from assay.cli._demo.application import run
signal.signal(signal.SIGTERM, signal.default_int_handler)  # as `assay demo` does
run("shop", {STARTS_ANOTHER!r}, pathlib.Path("log"), os.environ)
"""


def test_a_program_ends_with_what_it_started_when_the_demo_is_interrupted(folder):
    demo = subprocess.Popen([sys.executable, "-c", INTERRUPTED], stderr=subprocess.DEVNULL)
    wait_until((folder / "started").exists)
    demo.terminate()
    assert demo.wait() != 0
    wait_until(lambda: has_ended(int((folder / "started").read_text())))
