"""The code in the documentation runs: all Python blocks, and the console blocks of some pages."""

from __future__ import annotations

import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from assay.cli._demo.arrivals import scrape
from assay.instrumentation.testing import OTLPReceiver

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    [REPOSITORY / "README.md", *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("*/*/README.md")]
)
BLOCK = re.compile(r"^```(?P<language>\w+)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
TITLED = re.compile(r'^```\w+ title="(?P<title>[\w.]+)"\n(?P<code>.*?)^```$', re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+?) -->\s*\Z")


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's blocks in one language, without those that a comment before them exempts."""
    text = page.read_text(encoding="utf-8")
    return [
        match["code"]
        for match in BLOCK.finditer(text)
        if match["language"] == language and not NOT_RUN.search(text[: match.start()])
    ]


def write_titled(page: Path, folder: Path) -> None:
    """Write each block that has a title to the file of that name."""
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


def commands(page: str, start: str = "", end: str = r"\Z") -> list[str]:
    """Return the commands, with their here documents, of a page's console blocks between two headings."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    part = re.search(f"{start}.*?(?={end})", text, re.DOTALL)
    assert part
    lines = [match["code"] for match in BLOCK.finditer(part[0]) if match["language"] == "console"]
    return [line.removeprefix("$ ") for block in lines for line in block.splitlines()]


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
    write_titled(REPOSITORY / operator, tmp_path)
    for file in (tmp_path / "host.yaml", tmp_path / "approve.py"):
        file.write_text(with_ports(file.read_text(encoding="utf-8"), ports), encoding="utf-8")
    script = [with_ports(line, ports) for line in commands(operator)]
    # Some twenty commands, each of which starts an interpreter.
    done = run_script(["trap 'kill $(jobs -p) || true' EXIT", *script], tmp_path, timeout=450)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "witness w1.example.com" in done.stdout
    assert "refused" in done.stdout
    write_titled(REPOSITORY / auditor, tmp_path / "for-the-auditor")
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
    write_titled(REPOSITORY / page, tmp_path)
    assert commands(page, "## 2", "## 3") == ["assay up --keep data"]
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


@pytest.mark.slow
def test_own_events_become_series_records_and_cdevents(collector_binary, tmp_path):
    page = "docs/how-to/your-own-events.md"
    write_titled(REPOSITORY / page, tmp_path)
    with assay_up(tmp_path, ASSAY_REGISTRY=str(tmp_path / "shop.yaml")) as printed:
        ran = run_script([". data/environment", *commands(page)], tmp_path)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        wait_until(lambda: holds_action(tmp_path, "CREATE"))
        wait_until(lambda: has_sent(tmp_path, "shop-order.taken"))
        prometheus = re.search(r"Prometheus scrapes (\S+)", printed.read_text(encoding="utf-8"))
        assert prometheus
        wait_until(lambda: 'shop_orders_total{channel="till"' in scrape(prometheus[1]))


INSTRUMENTATION = "docs/how-to/write-an-instrumentation.md"


def test_instrumentation_page_is_short_and_passes_its_own_test(tmp_path):
    """Its registry file and its module have 60 lines at most, and its test passes as typed."""
    write_titled(REPOSITORY / INSTRUMENTATION, tmp_path)
    written = [tmp_path / "schedule.yaml", tmp_path / "schedule_instrumentation.py"]
    lines = [line for file in written for line in file.read_text(encoding="utf-8").splitlines() if line]
    assert len(lines) <= 60
    (command,) = [line for line in commands(INSTRUMENTATION) if line.startswith("pytest")]
    done = run_script([command], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


@pytest.mark.slow
def test_instrumentation_page_runs_under_opentelemetry_instrument(tmp_path, monkeypatch):
    write_titled(REPOSITORY / INSTRUMENTATION, tmp_path)
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
