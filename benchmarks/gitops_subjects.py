"""The subjects of `gitops`: fetches, applies, and the reconciles of a controller; and the clocks for each."""

# pyright: basic
# GitPython, kopf and the Kubernetes client have no types, or types of some parts only.

from __future__ import annotations

import importlib.util
import logging
import os
import queue
import resource
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import kubernetes

from assay.cli._demo.workload.cluster import Cluster
from assay.cli._demo.workload.gitops_programs import example_folder
from assay.instrumentation.testing import GitServer, wait_until
from assay.instrumentation.testing.kubernetes import ApiServer
from benchmarks.processes import processor_seconds

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
WALL, PROCESSOR, CLIENT = "wall time", "processor time", "processor time of the client alone"
Clocks = Mapping[str, Callable[[], float]]
Times = Mapping[str, float]
"""Seconds by clock."""
Around = Callable[[Callable[[], object]], object]
"""Calls an operation, with telemetry or without."""


class Subject(Protocol):
    """Something that is done many times."""

    size: int
    """How often in one batch."""

    def batch(self, times: int, around: Around) -> Times:
        """Do it so many times."""
        ...


def bare(operation: Callable[[], object]) -> object:
    """Call an operation without telemetry."""
    return operation()


def own_time() -> float:
    """Return the processor time of this process and of its children that have ended, in seconds."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def server_time(server: ApiServer) -> float:
    """Return the processor time of an API server and of its etcd, in seconds."""
    return sum(map(processor_seconds, server.process_ids))


class Fetches:
    """Fetches of a clone, with git's processes.

    Args:
        folder: Folder for the repositories.
        revisions: Number of revisions of the origin. With more than one, each fetch brings a new one.
        server: The server of the folder's repositories, which runs in this process; None: the clone is that
            of a local repository.
    """

    size = 10

    def __init__(self, folder: Path, revisions: int, server: GitServer | None = None) -> None:
        import git  # noqa: PLC0415 - after the choice of the benchmark

        self._branch = folder / "origin" / "refs" / "heads" / "main"
        self._revisions = iter(_history(folder / "origin", revisions))
        self._advance()
        url = str(folder / "origin") if server is None else server.url("origin")
        self._remote = git.Repo.clone_from(url, folder / "clone").remotes.origin
        self._clocks = {WALL: time.perf_counter, PROCESSOR: own_time, CLIENT: time.process_time}

    def batch(self, times: int, around: Around) -> Times:
        """Fetch so many times."""
        total = dict.fromkeys(self._clocks, 0.0)
        for _ in range(times):
            self._advance()
            begun = _read(self._clocks)
            around(self._remote.fetch)
            total = _sums((total, _since(begun, self._clocks)))
        return total

    def _advance(self) -> None:
        revision = next(self._revisions, None)
        if revision is not None:
            self._branch.write_text(f"{revision}\n", "ascii")


class Applies:
    """Server-side applies of a ConfigMap that changes.

    Args:
        cluster: The cluster.
        server: Its API server.
    """

    size = 40

    def __init__(self, cluster: Cluster, server: ApiServer) -> None:
        from kubernetes.dynamic import DynamicClient  # noqa: PLC0415 - after the choice of the benchmark

        self._client = DynamicClient(cluster.api)
        self._maps = self._client.resources.get(api_version="v1", kind="ConfigMap")
        self._number = 0
        self._clocks = {
            WALL: time.perf_counter,
            PROCESSOR: lambda: own_time() + server_time(server),
            CLIENT: time.process_time,
        }

    def batch(self, times: int, around: Around) -> Times:
        """Apply so many times."""
        begun = _read(self._clocks)
        for _ in range(times):
            self._number += 1
            around(self._apply)
        return _since(begun, self._clocks)

    def _apply(self) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "counter"},
            "data": {"number": str(self._number)},
        }
        self._client.server_side_apply(
            self._maps, manifest, namespace="shop", field_manager="gitops", force_conflicts=True
        )


class Reconciles(logging.Handler):
    """Reconciles of a controller that runs; kopf logs when it begins and when it has finished one.

    Processor time includes the pauses between them.

    Args:
        controller: The module of the controller.
        server: Its API server.
    """

    size = 5

    def __init__(self, controller: ModuleType, server: ApiServer) -> None:
        super().__init__()
        self.controller = controller
        self._clocks = {PROCESSOR: lambda: own_time() + server_time(server), CLIENT: time.process_time}
        self._begun = 0.0
        self._finished: queue.SimpleQueue[float] = queue.SimpleQueue()

    def emit(self, record: logging.LogRecord) -> None:
        """Note the beginning or the end of a reconcile."""
        message = record.getMessage()
        if message == "Timer 'reconcile' is invoked.":
            self._begun = time.perf_counter()
        elif message == "Timer 'reconcile' succeeded.":
            self._finished.put(time.perf_counter() - self._begun)

    def batch(self, times: int, around: Around) -> Times:
        """Wait for so many reconciles."""
        assert around is bare, "nobody can call kopf's handlers"
        while not self._finished.empty():
            self._finished.get()
        self._finished.get()  # begin between two of them
        begun = _read(self._clocks)
        wall = sum(self._finished.get() for _ in range(times))
        return {WALL: wall, **_since(begun, self._clocks)}


@contextmanager
def controller(cluster: Cluster, server: ApiServer, folder: Path) -> Generator[Reconciles]:
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
    work, bare_repository = folder / "work", folder / "served" / "shop"
    _git("init", "--quiet", str(work))
    (work / "shop.yaml").write_text(MANIFESTS, "utf-8")
    _git("add", "--all", folder=work)
    _git("commit", "--quiet", "--message", "Add the shop", folder=work)
    _git("clone", "--quiet", "--bare", str(work), str(bare_repository))
    reconciles = Reconciles(_load(example_folder() / "controller.py"), server)
    logger = logging.getLogger("kopf.objects")
    logger.addHandler(reconciles)
    logger.setLevel(logging.DEBUG)
    stop = threading.Event()
    thread = threading.Thread(target=_run_operator, args=(kopf, stop))
    thread.start()
    try:
        with GitServer(bare_repository.parent) as origin:
            cluster.declare("shop", url=origin.url("shop"), targetNamespace="shop")
            wait_until(lambda: cluster.data_of("greeting") is not None, timeout=120, interval=0.1)
            yield reconciles
            cluster.remove("shop")
    finally:
        stop.set()
        thread.join()


def _read(clocks: Clocks) -> Times:
    return {name: clock() for name, clock in clocks.items()}


def _since(begun: Times, clocks: Clocks) -> Times:
    return {name: clock() - begun[name] for name, clock in clocks.items()}


def _sums(parts: Iterable[Times]) -> dict[str, float]:
    """Return the sum of each clock's times."""
    total: dict[str, float] = {}
    for part in parts:
        for name, seconds in part.items():
            total[name] = total.get(name, 0.0) + seconds
    return total


def _history(bare_repository: Path, revisions: int) -> list[str]:
    """Make a bare repository with so many revisions; return them, the oldest first."""
    _git("init", "--quiet", "--bare", str(bare_repository))
    commits = "".join(
        f"commit refs/heads/main\ncommitter Ines <ines@example.com> {1_700_000_000 + number} +0000\n"
        f"data 1\nx\nM 100644 inline file\ndata {len(str(number))}\n{number}\n"
        for number in range(revisions)
    )
    _git("fast-import", "--quiet", folder=bare_repository, text=commits)
    return _git("rev-list", "--reverse", "main", folder=bare_repository).split()


def _git(*arguments: str, folder: Path | None = None, text: str = "") -> str:
    command = ["git", *AUTHOR, *arguments]
    return subprocess.run(command, cwd=folder, input=text, check=True, capture_output=True, text=True).stdout


def _run_operator(kopf: Any, stop: threading.Event) -> None:  # noqa: ANN401 - the module
    kopf.run(standalone=True, namespaces=["gitops"], stop_flag=stop)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
