"""`assay up` with a Collector: a restart on the same folder."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

EMIT_LINES = """
import sys
from assay.telemetry import execute

for line in sys.stdin:
    metadata = {"approval_id": line.strip(), "checkpoint": "publish", "actor": "omar@example.com"}
    execute("flowstone.checkpoint.approved", metadata=metadata)
    print("emitted", flush=True)
"""


@contextmanager
def up(folder: Path) -> Iterator[dict[str, str]]:
    """Run `assay up` on free ports; yield the variables that it prints for applications."""
    assay = str(Path(sys.executable).with_name("assay"))
    command = [assay, "up", "--collector", "require", "--free-ports", "--keep", str(folder)]
    exports: dict[str, str] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            while "ASSAY_AUDIT_TOKEN" not in exports:
                line = process.stdout.readline()
                assert line, "assay up exited"
                if line.startswith("export "):
                    name, _, value = line.removeprefix("export ").rstrip("\n").partition("=")
                    exports[name] = value
            yield exports
        finally:
            process.terminate()


@pytest.mark.usefixtures("collector_binary")
def test_a_running_application_loses_no_record_when_up_is_restarted(tmp_path):
    folder = tmp_path / "data"
    launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    with ExitStack() as stack:
        with up(folder) as before:
            application = stack.enter_context(
                subprocess.Popen(
                    [launcher, sys.executable, "-c", EMIT_LINES],
                    env={**os.environ, **before},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(application.kill)

            def emit(target: str) -> None:
                application.stdin.write(f"{target}\n")
                application.stdin.flush()
                assert application.stdout.readline() == "emitted\n"

            emit("before")
        with up(folder) as after:
            assert after == before
            emit("after")
            application.stdin.close()
            application.wait(60)
    with closing(sqlite3.connect(folder / "audit" / "log.db")) as log:
        targets = [row[0] for row in log.execute("SELECT resource_id FROM audit_log ORDER BY leaf_index")]
    assert targets == ["before", "after"]
