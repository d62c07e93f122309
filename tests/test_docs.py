"""The code in the documentation runs: each Python block and each command, or a comment gives the reason."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager
from functools import partial
from importlib.metadata import metadata
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest
import requests
from packaging.requirements import Requirement

from assay.cli._demo.arrivals import scrape
from assay.cli._demo.workload.git_host import GitHost
from assay.instrumentation.testing import OTLPReceiver
from assay.instrumentation.testing import wait_until as wait_for
from assay.instrumentation.testing.kubernetes import ApiServer, ApiServerNotFoundError, find_api_server

REPOSITORY = Path(__file__).parents[1]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "[!.]*/README.md", "[!.]*/*/README.md")
    for path in REPOSITORY.glob(pattern)
)
wait_until = partial(wait_for, timeout=180, interval=0.1)
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
    "docs/how-to/instrument-a-gitops-controller.md": "test_gitops_page_runs_on_a_cluster",
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


def with_programs() -> dict[str, str]:
    """Return the variables of this process, with this environment's programs first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def run_script(script: list[str], folder: Path, timeout: float = 180) -> subprocess.CompletedProcess[str]:
    """Run commands as a user types them, with this environment's programs first."""
    return subprocess.run(
        ["bash", "-euc", "\n".join(script)],
        cwd=folder,
        env=with_programs(),
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
def assay_up(folder: Path, keep: str = "data", **variables: str) -> Generator[Path]:
    """Run `assay up --keep` in a folder on free ports; yield the file that contains its output."""
    printed = folder / "up.txt"
    with printed.open("wb") as out:
        up = subprocess.Popen(
            [str(Path(sys.executable).with_name("assay")), "up", "--keep", keep, "--free-ports"],
            cwd=folder,
            env=os.environ | variables,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until((folder / keep / "environment").exists)
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
        wait_until(lambda: holds(tmp_path / "data", "action", "APPROVE"))
        wait_until(lambda: has_sent(tmp_path / "data", "flowstone-checkpoint.approved"))
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
        wait_until(lambda: holds(tmp_path / "data", "action", "CREATE"))
        wait_until(lambda: has_sent(tmp_path / "data", "shop-order.taken"))
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


@pytest.fixture
def cluster(tmp_path, unlimited_memory, skip_or_fail) -> Generator[dict[str, str]]:
    """Run an API server; return the variable that makes its administrator the user of programs."""
    if shutil.which("kubectl") is None:
        skip_or_fail("kubectl is not on PATH: install the Debian package `kubernetes-client`")
    try:
        with unlimited_memory():
            binary = find_api_server()
    except ApiServerNotFoundError as error:
        skip_or_fail(str(error))
    with ApiServer(binary, tmp_path / "kubernetes") as server:
        parts = {
            "cluster": {"server": server.url, "certificate-authority": str(server.certificate)},
            "user": {"token": server.tokens["admin"]},
            "context": {"cluster": "test", "user": "test"},
        }
        config = {f"{part}s": [{"name": "test", part: value}] for part, value in parts.items()}
        config |= {"apiVersion": "v1", "kind": "Config", "current-context": "test"}
        file = tmp_path / "kubeconfig"
        file.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        file.chmod(0o600)
        yield {"KUBECONFIG": str(file)}


@pytest.mark.slow
@pytest.mark.timeout(3600)  # a first run builds the API server
def test_gitops_page_runs_on_a_cluster(collector_binary, cluster, tmp_path, monkeypatch):
    page = "docs/how-to/instrument-a-gitops-controller.md"
    monkeypatch.setenv("KUBECONFIG", cluster["KUBECONFIG"])
    clone, kept = tmp_path / "clone", tmp_path / "clone/assay-data"
    shutil.copytree(REPOSITORY / "examples/gitops", clone / "examples/gitops")
    host = GitHost(tmp_path / "git")
    manifest = "{apiVersion: v1, kind: ConfigMap, metadata: {name: greeting}, data: {text: hello}}"
    host.commit("shop", {"deploy/greeting.yaml": manifest})
    assert commands(page, r"1\. ", r"\n2\. ") == ["assay up"]
    controller = commands(page, r"2\. In another", r"\n3\. ")
    *declare, show, query, validate = commands(page, r"3\. In a third", "To receive")
    declare = [line.replace("https://github.com/org/shop.git", host.url("shop")) for line in declare]
    port = free_port()
    receiver = [line.replace("8080", port) for line in commands(page, "To receive")]
    with assay_up(clone, kept.name) as printed:
        with host.serving(), terminal(controller, clone), terminal(receiver, clone):
            wait_until(lambda: has_started(clone))
            declared = run_script(declare, clone)
            assert declared.returncode == 0, declared.stdout + declared.stderr
            wait_until(lambda: holds(kept, "event_type", "alumiini.sync_completed"))
            wait_until(lambda: has_sent(kept, "service.deployed"))
            wait_until(lambda: refuses(port))
            wait_until(lambda: holds(kept, "event_type", "alumiini.webhook_received"))
        seen = run_script([show, query, validate], clone)
        assert seen.returncode == 0, seen.stdout + seen.stderr
        assert "SYNC" in seen.stdout
        assert "0 invalid" in seen.stdout
        prometheus = re.search(r"Prometheus scrapes (\S+)", printed.read_text(encoding="utf-8"))
        assert prometheus
        for series in ("alumiini_syncs_total{", "alumiini_cache_total{", "alumiini_errors_total{"):
            wait_until(lambda series=series: series in scrape(prometheus[1]))


@contextmanager
def terminal(script: list[str], folder: Path) -> Generator[None]:
    """Run commands in another terminal; the last one runs until the block is left."""
    shell = subprocess.Popen(
        # The shell waits for its command, which SIGTERM ends.
        ["bash", "-euc", "\n".join(["trap : TERM", *script])],
        cwd=folder,
        env=with_programs(),
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        os.killpg(shell.pid, signal.SIGTERM)
        shell.wait(60)


def has_started(folder: Path) -> bool:
    """Return whether the custom resource of the GitOps example has been installed."""
    return run_script(["kubectl get crd repositories.gitops.example.org"], folder).returncode == 0


def refuses(port: str) -> bool:
    """Return whether the receiver of webhooks refuses one with a wrong signature."""
    headers = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={'0' * 64}"}
    try:
        answer = requests.post(f"http://127.0.0.1:{port}/hooks/github", json={}, headers=headers, timeout=30)
    except requests.ConnectionError:
        return False
    return answer.status_code == 401


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


def holds(kept: Path, column: str, value: str) -> bool:
    """Return whether the audit log in the folder of `assay up` has a record with this value in a column."""
    with closing(sqlite3.connect(f"file:{kept / 'audit/log.db'}?mode=ro", uri=True)) as log:
        query = f"SELECT 1 FROM flowstone_audit_log WHERE {column} = ?"
        return bool(log.execute(query, (value,)).fetchone())


def has_sent(kept: Path, kind: str) -> bool:
    sent = kept / "cdevents.jsonl"  # created with the first event
    return sent.exists() and kind in sent.read_text(encoding="utf-8")
