"""Run the demo's programs of ALUMIINI and Snakepit, as far as this machine has what they need."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assay.cli._demo.application import WORKLOAD, run, run_script, variables_for
from assay.cli._demo.workload.git_host import TRACE, counted
from assay.cli._progress import ReportProgress
from assay.instrumentation.testing.kubernetes import cached_binary

_MISSING_MODULE = "{} is not installed: pip install 'assay[{}]'"
_MISSING_PROGRAM = "{} is not on PATH: install the Debian package `{}`"
POOL_SERVICE = "demo-pool"
_EXPORT_MS = "500"  # so that the gauges of a program that runs for seconds are exported


@dataclass
class ProgramResults:
    """The counts of git, of the API server and of the pool itself.

    Args:
        git: Number of git processes by operation, as git recorded them.
        applies: Number of accepted writes by kind, as the API server recorded them.
        tasks: Number of tasks that were submitted to the pool.
        not_run: Why a part of a subsystem was not run, by subsystem.
    """

    git: Counter[str] = field(default_factory=Counter[str])
    applies: Counter[str] = field(default_factory=Counter[str])
    tasks: int = 0
    not_run: dict[str, list[str]] = field(default_factory=dict[str, list[str]])


def run_programs(
    root: Path, environment: Mapping[str, str], report: ReportProgress, after_each: Callable[[], object]
) -> ProgramResults:
    """Run the programs one after the other.

    Args:
        root: Folder of the demo's files.
        environment: The variables that set where telemetry and audit records go.
        report: Called for each program.
        after_each: Called when a program has ended.

    Raises:
        DemoError: A program failed.
    """
    results = ProgramResults()
    for subsystem, title, obstacle, start in (
        ("alumiini", "a GitOps controller on Kubernetes", _no_cluster(), _run_gitops),
        ("alumiini", "git syncs", _no_git(), _run_git),
        ("snakepit", "a process pool", _no_pool(), _run_pool),
    ):
        if obstacle:
            results.not_run.setdefault(subsystem, []).append(f"{title}: {obstacle}")
            report(f"not running {title}: {obstacle}")
            continue
        report(f"running {title} under opentelemetry-instrument")
        start(root, environment, results)
        after_each()
    return results


def _run_gitops(root: Path, environment: Mapping[str, str], results: ProgramResults) -> None:
    folder, facts = root / "gitops", root / "gitops.json"
    folder.mkdir()
    variables = variables_for("demo-gitops", root, environment)
    command = [sys.executable, "-m", f"{WORKLOAD}.gitops", str(folder), str(facts)]
    run("GitOps controller", command, root / "gitops.log", variables)
    recorded = json.loads(facts.read_text(encoding="utf-8"))
    results.git.update(recorded["git"])
    results.applies.update(recorded["applies"])


def _run_git(root: Path, environment: Mapping[str, str], results: ProgramResults) -> None:
    folder, traces = root / "git", root / "git" / "traces"
    traces.mkdir(parents=True)
    variables = {**variables_for("demo-git", root, environment), TRACE: str(traces)}
    run_script("git_sync", str(folder), log=root / "git.log", variables=variables)
    results.git.update(counted(traces))


def _run_pool(root: Path, environment: Mapping[str, str], results: ProgramResults) -> None:
    facts = root / "pool.json"
    variables = variables_for(POOL_SERVICE, root, environment)
    variables["OTEL_METRIC_EXPORT_INTERVAL"] = _EXPORT_MS
    run_script("pool", str(facts), log=root / "pool.log", variables=variables)
    results.tasks = json.loads(facts.read_text(encoding="utf-8"))["tasks"]


def _no_git() -> str:
    """Return why git cannot be instrumented here; empty if it can."""
    if shutil.which("git") is None:
        return _MISSING_PROGRAM.format("git", "git")
    return "" if _has("git") else _MISSING_MODULE.format("GitPython", "alumiini")


def _no_cluster() -> str:
    """Return why the GitOps controller cannot run here; empty if it can."""
    if obstacle := _no_git():
        return obstacle
    for module in ("kopf", "kubernetes"):
        if not _has(module):
            return _MISSING_MODULE.format(module, "alumiini")
    if os.environ.get("ASSAY_KUBE_APISERVER"):
        return ""
    if shutil.which("etcd") is None:
        return _MISSING_PROGRAM.format("etcd", "etcd-server")
    if not cached_binary().is_file():
        return f"no Kubernetes API server is cached ({cached_binary()}): see examples/gitops/README.md"
    return ""


def _no_pool() -> str:
    """Return why the pool cannot be instrumented here; empty if it can."""
    module = "opentelemetry.instrumentation.snakepit"
    return "" if _has(module) else _MISSING_MODULE.format("the instrumentation", "snakepit")


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
