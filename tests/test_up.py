"""`assay up` with a Collector: a restart on the same folder."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from assay.instrumentation.testing import OTLPReceiver, wait_until

pytestmark = pytest.mark.slow

EMIT_LINES = """
import sys
from assay.telemetry import execute

for line in sys.stdin:
    metadata = {"approval_id": line.strip(), "checkpoint": "publish", "actor": "omar@example.com"}
    execute("flowstone.checkpoint.approved", metadata=metadata)
    print("emitted", flush=True)
"""


EMIT_SPAN = """
from assay.telemetry import span

with span("flowstone.materialization", run_id="run-1", asset="orders"):
    pass
"""
PAGE = Path(__file__).parents[1] / "docs/how-to/open-traces-in-jaeger-or-grafana.md"


@contextmanager
def up(folder: Path, *arguments: str | Path) -> Iterator[dict[str, str]]:
    """Run `assay up` on free ports; yield the variables that it prints for applications."""
    assay = str(Path(sys.executable).with_name("assay"))
    command = [assay, "up", "--collector", "require", "--free-ports", "--keep", str(folder), *arguments]
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
def test_spans_also_reach_the_backend_of_the_recipe(tmp_path, monkeypatch):
    page = PAGE.read_text(encoding="utf-8")
    (config,) = re.findall(r"```yaml title=\"jaeger.yaml\"\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT", "1s")
    launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    with OTLPReceiver() as jaeger:
        (tmp_path / "jaeger.yaml").write_text(config.replace("http://127.0.0.1:14318", jaeger.endpoint))
        with up(tmp_path / "data", "--config", tmp_path / "jaeger.yaml") as exports:
            command = [launcher, sys.executable, "-c", EMIT_SPAN]
            subprocess.run(command, env={**os.environ, **exports}, check=True, timeout=120)
            wait_until(lambda: jaeger.spans("flowstone.materialization"))


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
