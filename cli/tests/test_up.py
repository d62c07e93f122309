"""The services of `assay up`, without a Collector; tests/ has them with one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner

from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.process import Addresses
from assay.cli._stack import Folder, HostAddresses, Stack, StackError
from assay.cli.main import main


@pytest.mark.parametrize("command", ["demo", "up"])
def test_a_folder_that_cannot_be_made_is_wrong_usage(tmp_path, command):
    (tmp_path / "file").touch()
    result = CliRunner().invoke(
        main, [command, "--collector", "none", "--keep", str(tmp_path / "file" / "x")]
    )
    assert result.exit_code == 2
    assert f"{tmp_path}/file/x cannot be made: Not a directory" in result.output


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
def test_a_service_that_ends_by_itself_is_told(tmp_path):
    stack = Stack(Folder(tmp_path), None, host=HostAddresses.free())
    with stack.running():
        (host,) = children(os.getpid(), str(stack.folder.host_config))
        os.kill(host, signal.SIGKILL)
        with pytest.raises(StackError, match=r"exporter host has ended by itself: see .*host\.log"):
            stack.wait(threading.Event())


@pytest.mark.slow
def test_a_demo_that_is_told_to_end_leaves_nothing_running(tmp_path):
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
    """The processes that `parent` started with `argument` in their command line."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            started_by = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if started_by == parent and argument in (folder / "cmdline").read_text():
                found.append(int(folder.name))
    return found
