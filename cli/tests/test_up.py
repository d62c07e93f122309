"""The services of `assay up` without a Collector; tests/test_up.py runs them with one."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from assay.cli._addresses import HostAddresses
from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.process import Addresses
from assay.cli._errors import StackError
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from assay.cli.main import main
from assay.instrumentation.testing import wait_until

EMIT_LINES = """
import sys
from assay.telemetry import execute

for line in sys.stdin:
    metadata = {"approval_id": line.strip(), "checkpoint": "publish", "actor": "omar@example.com"}
    execute("flowstone.checkpoint.approved", metadata=metadata)
    print("emitted", flush=True)
"""
EMIT_OWN_EVENTS = """
from assay.telemetry import execute, span

for _ in range(2):
    execute("shop.order.taken", metadata={"order_id": "o-1"})
    with span("shop.delivery", order_id="o-1"):
        pass
"""
RUN = """
from assay.telemetry import span
from assay.telemetry.correlation import correlation

with correlation("run-1"), span("flowstone.run", run_id="run-1", job="nightly"):
    with span("flowstone.materialization", run_id="run-1", asset="orders"):
        pass
"""
REGISTRY = """
file_format: definition/2
attributes:
  - {key: shop.order_id, type: string, brief: Order., stability: development, examples: [o-1]}
events:
  - name: shop.order.taken
    brief: An order was taken.
    stability: development
    attributes: [{ref: shop.order_id, requirement_level: required}]
spans:
  - type: shop.delivery
    kind: internal
    name: {note: shop.delivery}
    brief: An order is delivered.
    stability: development
    requirement_level: recommended
    attributes: [{ref: shop.order_id, requirement_level: required}]
"""


@contextlib.contextmanager
def up(folder: Path, **environment: str) -> Iterator[list[str]]:
    """Run `assay up` without a Collector; yield the lines that it prints once it is ready."""
    command = [sys.executable, "-m", "assay.cli", "up", "--collector", "none", "--free-ports"]
    with (folder.parent / "up.err").open("a") as errors:
        process = subprocess.Popen(
            [*command, "--keep", str(folder)],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **environment},
        )
    printed: list[str] = []
    try:
        for line in process.stdout:
            printed.append(line.rstrip("\n"))
            if "assay audit verify" in line:  # the last one
                break
        assert process.poll() is None, errors
        yield printed
    finally:
        process.terminate()
        process.stdout.read()
        assert process.wait(60) == 0


def exports(folder: Path) -> dict[str, str]:
    """Return the variables in the file that `assay up` writes for applications."""
    return dict(re.findall(r"^export (\w+)=(.*)$", (folder / "environment").read_text(), re.MULTILINE))


def instrumented(code: str, environment: dict[str, str], **options: object) -> subprocess.Popen[str]:
    """Start a program under `opentelemetry-instrument`."""
    launcher = str(Path(sys.executable).with_name("opentelemetry-instrument"))
    return subprocess.Popen(
        [launcher, sys.executable, "-c", code],
        env={**os.environ, **environment, "OTEL_SERVICE_NAME": "shop", "OTEL_METRIC_EXPORT_INTERVAL": "500"},
        text=True,
        **options,
    )


def stored_targets(folder: Path) -> list[str]:
    with closing(sqlite3.connect(folder / "audit" / "log.db")) as log:
        return [row[0] for row in log.execute("SELECT resource_id FROM audit_log ORDER BY leaf_index")]


@pytest.mark.slow
def test_a_running_application_loses_no_record_when_up_is_restarted(tmp_path):
    folder = tmp_path / "data"
    with contextlib.ExitStack() as stack:
        with up(folder):
            application = stack.enter_context(
                instrumented(EMIT_LINES, exports(folder), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            )
            stack.callback(application.kill)
            before = exports(folder)

            def emit(target: str) -> None:
                application.stdin.write(f"{target}\n")
                application.stdin.flush()
                assert application.stdout.readline() == "emitted\n"

            emit("before")
        with up(folder):
            emit("after")
            assert exports(folder) == before
            application.stdin.close()
            application.wait(60)
    assert stored_targets(folder) == ["before", "after"]


@pytest.mark.slow
def test_without_a_collector_each_file_holds_its_own_signal(tmp_path):
    folder = tmp_path / "data"
    (tmp_path / "shop.yaml").write_text(REGISTRY)
    registry = {"ASSAY_REGISTRY": str(tmp_path / "shop.yaml")}
    with up(folder, **registry) as printed:
        assert instrumented(EMIT_OWN_EVENTS, {**exports(folder), **registry}).wait(60) == 0
    for signal_name, member in {"traces": "resourceSpans", "logs": "resourceLogs"}.items():
        lines = (folder / f"{signal_name}.jsonl").read_text().splitlines()
        assert {key for line in lines for key in json.loads(line)} == {member}
    missing = next(line for line in printed if "without a Collector" in line)
    for part in ("queue on disk", "sampling", "redaction"):
        assert part in missing
    assert "shop" not in (tmp_path / "up.err").read_text()


@pytest.mark.slow
def test_files_and_commands_are_printed_and_show_works_while_it_runs_and_after(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    monkeypatch.chdir(tmp_path)
    with up(folder) as printed:
        assert instrumented(RUN, exports(folder)).wait(120) == 0
        while_running = wait_until(lambda: complete(show(folder, "run-1")), timeout=60)
    text = "\n".join(printed)
    for file in ("traces.jsonl", "cdevents.jsonl", "audit/log.db", "audit/verifier.key", "host.log"):
        assert re.search(rf"^#   {file} +\S", text, re.MULTILINE)
    for command in (
        ". data/environment && opentelemetry-instrument",
        "assay show --keep data",
        "assay audit verify --db data/audit/log.db --key data/audit/verifier.key",
    ):
        assert f"#   {command}" in text
    after = show(folder, "run-1")
    assert (after["run"], after["spans"]) == (while_running["run"], while_running["spans"])
    assert [entry["event"] for entry in after["audit"]["entries"]] == [
        "flowstone.run.start",
        "flowstone.run.stop",
    ]
    assert show(folder)["runs"] == [after["run"]]


def show(folder: Path, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(main, ["show", "--keep", str(folder), "--json", *arguments])
    return json.loads(result.stdout) if result.stdout else {}


def complete(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what `assay show` printed, once everything of the run has arrived; else nothing."""
    proofs = {entry["proof"]["state"] for entry in shown.get("audit", {}).get("entries", ())}
    types = [event["type"].split(".")[2:4] for event in shown.get("cdevents", ())]
    has_all = proofs == {"verified"} and ["pipelinerun", "finished"] in types and len(shown["spans"]) == 2
    return shown if has_all and shown["run"]["outcome"] == "success" else {}


@pytest.mark.slow
def test_own_events_that_the_registry_of_up_lacks_are_named_once(tmp_path):
    folder = tmp_path / "data"
    (tmp_path / "shop.yaml").write_text(REGISTRY)
    errors = tmp_path / "up.err"
    with up(folder):
        application = {**exports(folder), "ASSAY_REGISTRY": str(tmp_path / "shop.yaml")}
        for _ in range(2):
            assert instrumented(EMIT_OWN_EVENTS, application).wait(60) == 0
        deadline = time.monotonic() + 60
        while errors.read_text().count("ASSAY_REGISTRY") < 2:
            assert time.monotonic() < deadline, errors.read_text()
            time.sleep(0.1)
    text = errors.read_text()
    for name in ("shop.order.taken", "shop.delivery"):
        assert text.count(name) == 1


@pytest.mark.parametrize("command", ["demo", "up"])
def test_a_folder_that_cannot_be_created_is_wrong_usage(tmp_path, command):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(
        main, [command, "--collector", "none", "--keep", str(tmp_path / "file" / "x")]
    )
    assert result.exit_code == 2
    assert f"{tmp_path}/file/x cannot be created: Not a directory" in result.output


def test_ports_in_use_are_named_before_anything_is_written(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        taken = [f"127.0.0.1:{server.getsockname()[1]}" for server in (one, other)]
        stack = Stack(
            Folder(tmp_path / "data"),
            CollectorBinary(Path("/bin/false"), "0", "env"),
            Addresses(otlp_http=taken[0]),
            HostAddresses(health=taken[1]),
        )
        with pytest.raises(StackError, match="--free-ports") as caught, stack.running():
            pass
    assert f"{taken[0]} (Collector, otlp_http)" in str(caught.value)
    assert f"{taken[1]} (exporter host, health)" in str(caught.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_a_service_that_exits_by_itself_is_reported(tmp_path):
    stack = Stack(Folder(tmp_path), None, host=HostAddresses.free())
    with stack.running():
        (host,) = children(os.getpid(), str(stack.folder.host_config))
        os.kill(host, signal.SIGKILL)
        with pytest.raises(StackError, match=r"exporter host exited by itself: see .*host\.log"):
            stack.wait(threading.Event())


@pytest.mark.slow
def test_a_terminated_demo_leaves_no_process_running(tmp_path):
    demo = subprocess.Popen(
        [sys.executable, "-m", "assay.cli", "demo", "--collector", "none", "--keep", str(tmp_path / "kept")],
        stderr=subprocess.PIPE,
        text=True,
    )
    with demo:
        for line in demo.stderr:
            if line.startswith("running the Dagster project"):
                break
        (host,) = children(demo.pid, "host.yaml")
        demo.terminate()
        demo.stderr.read()
    assert demo.returncode == 1
    assert not Path(f"/proc/{host}").exists()


def children(parent: int, argument: str) -> list[int]:
    """Return the ids of the processes that `parent` started with `argument` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            started_by = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if started_by == parent and argument in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found
