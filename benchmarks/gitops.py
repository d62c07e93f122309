"""Measure a fetch, an apply and a kopf reconcile, instrumented, against the same without instrumentation.

All are processor time. A fetch and a reconcile include git's processes; the repositories are local, so that
no network's work makes the floor higher. An apply includes the API server and etcd, which do most of its
work. Batches with and without instrumentation take turns in one process, so that other load on the machine
affects both. "Instrumented" includes everything that users get, to exporters that discard their batches.
"""

# pyright: basic
# GitPython, kopf and the Kubernetes client have no types, or types of some parts only.

from __future__ import annotations

import gc
import importlib.util
import logging
import os
import resource
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import kubernetes
from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor
from opentelemetry.instrumentation.alumiini.gitpython import GitPythonInstrumentor
from opentelemetry.instrumentation.alumiini.kopf import KopfInstrumentor
from opentelemetry.instrumentation.alumiini.kubernetes import KubernetesInstrumentor

from assay.cli._demo.workload.cluster import Cluster
from assay.cli._demo.workload.gitops_programs import example_folder
from assay.instrumentation.testing import wait_until
from assay.instrumentation.testing.kubernetes import ApiServer, find_api_server
from benchmarks import discard
from benchmarks.row import Row

BOUND = 1.05
FETCHES, APPLIES, RECONCILES = 30, 200, 20
"""How many are in a batch."""
WARM_UP = 3
"""The first ones after instrumenting run code that Python has not specialised yet."""
INTERVAL = "0.05"
"""Seconds between two reconciles."""
AUTHOR = ("-c", "user.name=Ines", "-c", "user.email=ines@example.com", "-c", "init.defaultBranch=main")
MANIFESTS = """
{apiVersion: v1, kind: ConfigMap, metadata: {name: greeting}, data: {text: hello}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.org/web:1"}]}
"""
INSTRUMENTORS = (GitPythonInstrumentor, KubernetesInstrumentor, KopfInstrumentor)

Clock = Callable[[], float]
Batch = Callable[[int], float]
"""Does something so many times, and returns the processor time in seconds."""


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of batches.

    Args:
        rounds: Number of pairs for each row; an uncounted pair comes first.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = [
            _measure(
                "GitPython fetch without a new revision", _Fetches(folder / "old", 1).batch, FETCHES, rounds
            ),
            _measure(
                "GitPython fetch of a new revision",
                _Fetches(folder / "new", 2 * (rounds + 1) * (FETCHES + WARM_UP) + 1).batch,
                FETCHES,
                rounds,
            ),
        ]
        with ApiServer(find_api_server(), folder / "kubernetes") as server:
            cluster = Cluster(server, example_folder() / "install.yaml")
            rows.append(_measure("Kubernetes apply", _Applies(cluster, server).batch, APPLIES, rounds))
            with _controller(cluster, folder) as batch:
                rows.append(
                    _measure("kopf reconcile: fetch, checkout, two applies", batch, RECONCILES, rounds)
                )
        return rows


def _measure(name: str, batch: Batch, size: int, rounds: int) -> Row:
    spans, logs = discard.CountingSpans(), discard.CountingLogs()
    providers = discard.providers(spans, logs)
    ratios, floors = [], []
    for number in range(rounds + 1):
        times = {}
        for is_instrumented in (False, True) if number % 2 else (True, False):
            gc.collect()
            if is_instrumented:
                with _instrumented(providers):
                    times[True] = _timed(batch, size)
            else:
                times[False] = _timed(batch, size)
        if number:
            ratios.append(times[True] / times[False])
            floors.append(times[False] / size)
    for provider in providers.values():
        provider.shutdown()
    assert spans.count >= (rounds + 1) * size, spans.count
    note = f"floor: the bare one, {statistics.median(floors) * 1e3:.2f} ms of processor time"
    return Row(name, statistics.median(ratios), BOUND, "at most", rounds, note)


def _timed(batch: Batch, size: int) -> float:
    batch(WARM_UP)
    return batch(size)


@contextmanager
def _instrumented(providers: dict[str, Any]) -> Generator[None]:
    AlumiiniInstrumentor().instrument(**providers)
    for instrumentor in INSTRUMENTORS:
        instrumentor().instrument()
    try:
        yield
    finally:
        for instrumentor in INSTRUMENTORS:
            instrumentor().uninstrument()
        AlumiiniInstrumentor().uninstrument()


def _own_time() -> float:
    """Return the processor time of this process and of its children that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _time_of(process_id: int) -> float:
    """Return the processor time of a running process (Linux, clock_getcpuclockid(3))."""
    return time.clock_gettime((~process_id << 3) | 2)


class _Fetches:
    """Fetches of a clone.

    Args:
        folder: Folder for the repositories.
        revisions: Number of revisions of the origin. With more than one, each fetch brings a new one.
    """

    def __init__(self, folder: Path, revisions: int) -> None:
        import git  # noqa: PLC0415 - after the choice of the benchmark

        self._branch = folder / "origin" / "refs" / "heads" / "main"
        self._revisions = iter(_history(folder / "origin", revisions))
        self._advance()
        self._remote = git.Repo.clone_from(str(folder / "origin"), folder / "clone").remotes.origin

    def batch(self, size: int) -> float:
        total = 0.0
        for _ in range(size):
            self._advance()
            begun = _own_time()
            self._remote.fetch()
            total += _own_time() - begun
        return total

    def _advance(self) -> None:
        revision = next(self._revisions, None)
        if revision is not None:
            self._branch.write_text(f"{revision}\n", "ascii")


def _history(bare: Path, revisions: int) -> list[str]:
    """Make a bare repository with so many revisions; return them, the oldest first."""
    _git("init", "--quiet", "--bare", str(bare))
    commits = "".join(
        f"commit refs/heads/main\ncommitter Ines <ines@example.com> {1_700_000_000 + number} +0000\n"
        f"data 1\nx\nM 100644 inline file\ndata {len(str(number))}\n{number}\n"
        for number in range(revisions)
    )
    _git("fast-import", "--quiet", folder=bare, text=commits)
    return _git("rev-list", "--reverse", "main", folder=bare).split()


def _git(*arguments: str, folder: Path | None = None, text: str = "") -> str:
    command = ["git", *AUTHOR, *arguments]
    return subprocess.run(command, cwd=folder, input=text, check=True, capture_output=True, text=True).stdout


class _Applies:
    """Server-side applies of a ConfigMap that changes.

    Args:
        cluster: The cluster.
        server: Its API server.
    """

    def __init__(self, cluster: Cluster, server: ApiServer) -> None:
        from kubernetes.dynamic import DynamicClient  # noqa: PLC0415 - after the choice of the benchmark

        self._client = DynamicClient(cluster.api)
        self._maps = self._client.resources.get(api_version="v1", kind="ConfigMap")
        self._server = server
        self._number = 0

    def batch(self, size: int) -> float:
        begun = self._time()
        for _ in range(size):
            self._number += 1
            manifest = {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "counter"},
                "data": {"number": str(self._number)},
            }
            self._client.server_side_apply(
                self._maps, manifest, namespace="shop", field_manager="gitops", force_conflicts=True
            )
        return self._time() - begun

    def _time(self) -> float:
        return time.process_time() + sum(map(_time_of, self._server.process_ids))


class _Reconciles(logging.Handler):
    """Waits for reconciles, which kopf logs when it has finished them."""

    def __init__(self) -> None:
        super().__init__()
        self._finished = threading.Semaphore(0)

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "Timer 'reconcile' succeeded.":
            self._finished.release()

    def batch(self, size: int) -> float:
        while self._finished.acquire(blocking=False):
            pass
        self._finished.acquire()  # begin between two of them
        begun = _own_time()
        for _ in range(size):
            self._finished.acquire()
        return _own_time() - begun


@contextmanager
def _controller(cluster: Cluster, folder: Path) -> Generator[Batch]:
    """Run the controller of `examples/gitops` in a thread, with one repository that it reconciles."""
    import kopf  # noqa: PLC0415 - after the choice of the benchmark

    # The client read KUBECONFIG when it was imported.
    for module in (kubernetes.config, kubernetes.config.kube_config):
        vars(module)["KUBE_CONFIG_DEFAULT_LOCATION"] = str(folder / "kubeconfig")
    os.environ |= {
        "GITOPS_CLONES": str(folder / "clones"),
        "GITOPS_INTERVAL": INTERVAL,
    }
    cluster.write_kubeconfig(folder / "kubeconfig")
    work = folder / "work"
    _git("init", "--quiet", str(work))
    (work / "shop.yaml").write_text(MANIFESTS, "utf-8")
    _git("add", "--all", folder=work)
    _git("commit", "--quiet", "--message", "Add the shop", folder=work)
    _load(example_folder() / "controller.py")
    reconciles = _Reconciles()
    logger = logging.getLogger("kopf.objects")
    logger.addHandler(reconciles)
    logger.setLevel(logging.INFO)
    stop = threading.Event()
    thread = threading.Thread(target=_run_operator, args=(kopf, stop))
    thread.start()
    try:
        cluster.declare("shop", url=str(work), targetNamespace="shop")
        wait_until(lambda: cluster.data_of("greeting") is not None, timeout=120, interval=0.1)
        yield reconciles.batch
        cluster.remove("shop")
    finally:
        stop.set()
        thread.join()


def _run_operator(kopf: Any, stop: threading.Event) -> None:  # noqa: ANN401 - the module
    kopf.run(standalone=True, namespaces=["gitops"], stop_flag=stop)


def _load(path: Path) -> None:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
