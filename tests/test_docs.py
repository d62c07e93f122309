"""The code in the documentation runs: each Python block and each command, or a comment gives the reason."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from importlib.metadata import metadata
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement

from assay.cli._demo.arrivals import scrape
from assay.instrumentation.testing import OTLPReceiver

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "[!.]*/README.md", "[!.]*/*/README.md")
    for path in REPOSITORY.glob(pattern)
)
BLOCK = re.compile(
    r"""^(?P<indent>\ *)```(?P<language>\w*)(?:\ title="(?P<title>[^"]+)")?[^\n]*\n
    (?P<code>.*?)
    ^(?P=indent)```$""",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z")
HERE_DOCUMENT = re.compile(r"<<'?(?P<end>[A-Z]+)'?$")
INSTALL = re.compile(r"^pip install ")

RUN_BY = {
    "docs/how-to/check-an-audit-log.md": "test_auditors_page_runs_on_a_real_log",
    "docs/how-to/run-a-witness.md": "test_operators_and_auditors_tutorials_run_from_an_empty_folder",
    "docs/how-to/write-an-exporter.md": "test_exporters_configuration_is_valid",
    "docs/how-to/write-an-instrumentation.md": "test_instrumentation_page_is_short_and_passes_its_own_test",
    "docs/how-to/your-own-events.md": "test_own_events_become_series_records_and_cdevents",
    "docs/tutorial/check-an-audit-log.md": "test_operators_and_auditors_tutorials_run_from_an_empty_folder",
    "docs/tutorial/index.md": "test_tutorial_runs_from_an_empty_folder",
    "docs/tutorial/operate-an-audit-log.md": "test_operators_and_auditors_tutorials_run_from_an_empty_folder",
}
"""The test that runs the commands of a page, except those that install packages or are marked as not run."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    title: str | None
    """The file that a reader writes it to."""
    code: str
    is_run: bool
    """False if a comment before it gives the reason."""


def blocks(text: str) -> list[Block]:
    return [
        Block(
            found["language"],
            found["title"],
            dedent(found["code"]),
            is_run=not NOT_RUN.search(text[: found.start()]),
        )
        for found in BLOCK.finditer(text)
    ]


def read(page: str) -> str:
    return (REPOSITORY / page).read_text(encoding="utf-8")


def write_titled(page: str, folder: Path) -> None:
    """Write each block that has a title to the file of that name."""
    for block in blocks(read(page)):
        if block.title:
            (folder / block.title).write_text(block.code, encoding="utf-8")


def python_blocks(page: str) -> list[str]:
    return [block.code for block in blocks(read(page)) if block.language == "python" and block.is_run]


def typed(console: str) -> list[str]:
    """Return the commands of a console block with their here documents, without their output."""
    lines = iter(console.splitlines())
    commands = []
    for line in lines:
        if line.startswith("$ "):
            commands.append(line.removeprefix("$ "))
            if here := HERE_DOCUMENT.search(line):
                for content in lines:
                    commands.append(content)
                    if content == here["end"]:
                        break
    return commands


def commands(page: str, start: str = "", end: str = r"\Z") -> list[str]:
    """Return the commands that are run between two headings of a page; none installs packages."""
    part = re.search(f"{start}.*?(?={end})", read(page), re.DOTALL)
    assert part
    run = [block.code for block in blocks(part[0]) if block.language == "console" and block.is_run]
    return [line for code in run for line in typed(code) if not INSTALL.match(line)]


NAMES = [str(page.relative_to(REPOSITORY)) for page in PAGES]


@pytest.mark.parametrize("page", NAMES)
def test_each_command_is_run_by_a_test_or_says_why_not(page):
    found = blocks(read(page))
    assert not {block.language for block in found} & {"", "sh", "bash", "shell"}, "use `console`"
    shown = [block.code for block in found if block.language == "console"]
    assert all(code.startswith("$ ") for code in shown), "a command starts with `$ `"
    run = [line for line in commands(page) if not line.startswith("export ")]  # alone it has no effect
    assert (page in RUN_BY) == bool(run), f"name the test in RUN_BY, or mark the block as not run: {run}"
    assert not run or callable(globals()[RUN_BY[page]])


@pytest.mark.parametrize("page", NAMES)
def test_packages_to_install_exist(page):
    """Test the names and the extras; tests/test_packaging.py installs the wheels. `.` is the page's own."""
    shown = [block.code for block in blocks(read(page)) if block.language == "console"]
    for line in filter(INSTALL.match, (line for code in shown for line in typed(code))):
        named = [word for word in shlex.split(line)[2:] if re.fullmatch(r"[a-z][\w-]+(\[[\w,]+\])?", word)]
        assert named or line.endswith(" .")
        for requirement in map(Requirement, named):
            provided = metadata(requirement.name).get_all("Provides-Extra") or []
            assert requirement.extras <= set(provided), line


@pytest.mark.parametrize("page", [page for page in NAMES if python_blocks(page)])
def test_python_blocks_run_in_order(page, tmp_path):
    """A page's blocks are one program, which prints what the page shows after a block."""
    write_titled(page, tmp_path)
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(python_blocks(page)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    shown = pairwise(block for block in blocks(read(page)) if block.is_run)
    outputs = [
        after.code for before, after in shown if (before.language, after.language) == ("python", "text")
    ]
    assert all(output in done.stdout for output in outputs)


def run_script(script: list[str], folder: Path, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run commands as a user types them, with this environment's programs first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", "\n".join(script)],
        cwd=folder,
        env={**os.environ, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.slow
def test_auditors_page_runs_on_a_real_log(demo, tmp_path):
    folder = tmp_path / "demo"
    shutil.copytree(demo[0], folder)
    (folder / "kept").mkdir()
    script = commands("docs/how-to/check-an-audit-log.md")
    assert len(script) > 4
    done = run_script(script, folder)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_operators_and_auditors_tutorials_run_from_an_empty_folder(tmp_path):
    operator, auditor = "docs/tutorial/operate-an-audit-log.md", "docs/tutorial/check-an-audit-log.md"
    ports = {port: free_port() for port in ("4321", "7381", "7382", "13135")}
    write_titled(operator, tmp_path)
    for file in (tmp_path / "host.yaml", tmp_path / "approve.py"):
        file.write_text(with_ports(file.read_text(encoding="utf-8"), ports), encoding="utf-8")
    script = [with_ports(line, ports) for line in commands(operator)]
    # Some twenty commands, each of which starts an interpreter.
    done = run_script(["trap 'kill $(jobs -p) || true' EXIT", *script], tmp_path, timeout=450)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "witness w1.example.com" in done.stdout
    assert "refused" in done.stdout
    done = run_script(commands("docs/how-to/run-a-witness.md"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("cosigned by") == 2
    write_titled(auditor, tmp_path / "for-the-auditor")
    done = run_script(commands(auditor), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 records, 0 in quarantine" in done.stdout
    assert "leaves 0 to 3, none left out" in done.stdout
    assert "4 records," in done.stdout
    assert done.stdout.count("caught") == 2


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def with_ports(text: str, ports: dict[str, str]) -> str:
    for port, free in ports.items():
        text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}")
    return text


@contextmanager
def assay_up(folder: Path, **variables: str) -> Generator[Path]:
    """Run `assay up --keep data` in a folder on free ports; yield the file that contains its output."""
    printed = folder / "up.txt"
    with printed.open("wb") as out:
        up = subprocess.Popen(
            [str(Path(sys.executable).with_name("assay")), "up", "--keep", "data", "--free-ports"],
            cwd=folder,
            env=os.environ | variables,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until((folder / "data/environment").exists)
        yield printed
    finally:
        up.terminate()
        up.wait(60)


@pytest.mark.slow
def test_tutorial_runs_from_an_empty_folder(collector_binary, tmp_path):
    page = "docs/tutorial/index.md"
    write_titled(page, tmp_path)
    with assay_up(tmp_path):
        ran = run_script(commands(page, "## 3", "## 4"), tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        wait_until(lambda: holds_action(tmp_path, "APPROVE"))
        wait_until(lambda: has_sent(tmp_path, "flowstone-checkpoint.approved"))
        seen = run_script(commands(page, "## 4", "## 5"), tmp_path)
        assert seen.returncode == 0, seen.stdout + seen.stderr
        assert "APPROVE" in seen.stdout
    altered = run_script(commands(page, "## 5"), tmp_path)
    assert altered.returncode == 0, altered.stdout + altered.stderr
    assert altered.stdout.rstrip().endswith("caught")
    assert "mallory" in altered.stderr


def test_exporters_configuration_is_valid(tmp_path):
    page = "docs/how-to/write-an-exporter.md"
    write_titled(page, tmp_path)
    done = run_script(commands(page), tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stdout in read(page)


@pytest.mark.slow
def test_own_events_become_series_records_and_cdevents(collector_binary, tmp_path):
    page = "docs/how-to/your-own-events.md"
    write_titled(page, tmp_path)
    with assay_up(tmp_path, ASSAY_REGISTRY=str(tmp_path / "shop.yaml")) as printed:
        ran = run_script(commands(page), tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        wait_until(lambda: holds_action(tmp_path, "CREATE"))
        wait_until(lambda: has_sent(tmp_path, "shop-order.taken"))
        prometheus = re.search(r"Prometheus scrapes (\S+)", printed.read_text(encoding="utf-8"))
        assert prometheus
        wait_until(lambda: 'shop_orders_total{channel="till"' in scrape(prometheus[1]))


INSTRUMENTATION = "docs/how-to/write-an-instrumentation.md"


def test_instrumentation_page_is_short_and_passes_its_own_test(tmp_path):
    """Its registry file and its module have 60 lines at most, and its test passes as typed."""
    write_titled(INSTRUMENTATION, tmp_path)
    written = [tmp_path / "schedule.yaml", tmp_path / "schedule_instrumentation.py"]
    lines = [line for file in written for line in file.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) <= 60
    (command,) = [line for line in commands(INSTRUMENTATION) if line.startswith("pytest")]
    done = run_script([command], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_instrumentation_page_runs_under_opentelemetry_instrument(tmp_path, monkeypatch):
    write_titled(INSTRUMENTATION, tmp_path)
    install_entry_points(tmp_path)
    (command,) = [line for line in commands(INSTRUMENTATION) if line.startswith("opentelemetry-instrument")]
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with OTLPReceiver() as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
        done = run_script([command], tmp_path)
        assert done.returncode == 0, done.stderr
        assert "swept" in done.stdout
        assert len(receiver.spans("schedule.job.run")) == 1
        assert "schedule.job.duration" in {metric.name for metric in receiver.metrics()}


def install_entry_points(folder: Path) -> None:
    """Write what `pip install` writes for the entry points of the folder's `pyproject.toml`."""
    project = (folder / "pyproject.toml").read_text(encoding="utf-8")
    _, _, entries = project.partition("[project.entry-points.")
    group, _, names = entries.partition("]")
    installed = folder / "schedule_instrumentation-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: schedule-instrumentation\nVersion: 1.0\n"
    )
    (installed / "entry_points.txt").write_text(f"[{group}]{names}".replace('"', ""))


def holds_action(folder: Path, action: str) -> bool:
    database = folder / "data/audit/log.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as log:
        return bool(log.execute("SELECT 1 FROM audit_log WHERE action = ?", (action,)).fetchone())


def has_sent(folder: Path, kind: str) -> bool:
    sent = folder / "data/cdevents.jsonl"  # created with the first event
    return sent.exists() and kind in sent.read_text(encoding="utf-8")


def wait_until(arrived: Callable[[], bool]) -> None:
    """Poll until data that a background thread sends has arrived."""
    deadline = time.monotonic() + 60
    while not arrived():
        assert time.monotonic() < deadline, "nothing arrived within a minute"
        time.sleep(0.1)
