"""The GitOps controller of `examples/gitops` under `opentelemetry-instrument`, and the far end of `assay up`.

The API server's audit log, the reflogs and traces of git, and kopf's log say what has happened.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._addresses import HostAddresses
from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.process import Addresses
from assay.cli._demo.arrivals import Series, read_cdevents, read_log_events, read_series, read_spans, scrape
from assay.cli._demo.prometheus import Prometheus, find_prometheus
from assay.cli._demo.run import COLLECTOR_SETTINGS
from assay.cli._demo.workload.cluster import Cluster
from assay.cli._demo.workload.git_host import TRACE, GitHost
from assay.cli._demo.workload.gitops_programs import Programs, example_folder
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from assay.instrumentation.testing import clean_environment, wait_until
from assay.instrumentation.testing.kubernetes import ApiServer, ApiServerNotFoundError, find_api_server

from .admission import SlowAdmission
from .rules import EVALUATED, HOLDS, OBJECTIVES, evaluated, rules, write_rules
from .story import FAILING_SYNCS, HEALTHY_SYNCS, Story, run

KOPF_END = re.compile(
    r"\[gitops/(?P<name>[\w-]+)\] (?:Handler 'sync'|Timer 'reconcile') (?P<end>succeeded|failed)"
)
"""A line of kopf's log with the end of a sync of an object."""
ARRIVAL_SECONDS = 120


class Deployment:
    """The cluster, the git hosts, the programs, and the far end of everything that they emit.

    Args:
        root: Folder of all files.
        cluster: The cluster.
        stack: The far end.
        prometheus: It scrapes the far end.

    Attributes:
        host: The git host.
        slow_host: Another one.
    """

    def __init__(self, root: Path, cluster: Cluster, stack: Stack, prometheus: Prometheus) -> None:
        self.root, self.cluster = root, cluster
        self.host, self.slow_host = GitHost(root / "git"), GitHost(root / "slow-git")
        self._stack = stack
        self.prometheus = prometheus
        self.folder: Folder = stack.folder
        self.traces = root / "git-traces"
        self.traces.mkdir()
        cluster.write_kubeconfig(root / "kubeconfig")
        controller = f"__kopf_script_0__{example_folder() / 'controller.py'}"
        self.programs = Programs(
            root,
            clean_environment(
                **stack.application_environment(),
                KUBECONFIG=str(root / "kubeconfig"),
                OTEL_SERVICE_NAME="gitops",
                OTEL_METRIC_EXPORT_INTERVAL="500",
                OTEL_RESOURCE_ATTRIBUTES="k8s.cluster.name=test",
                ASSAY_CACHES=f"manifests={controller}:read_manifests",
                TMPDIR=str(root),
                **{TRACE: str(self.traces)},
            ),
        )

    def syncs(self) -> Counter[tuple[str, str]]:
        """Return how kopf's log says that syncs ended: (object, end) to their number."""
        text = self.programs.log.read_text("utf-8")
        return Counter((found["name"], found["end"]) for found in KOPF_END.finditer(text))

    def wait_for_sync(self, name: str, end: str, number: int = 1) -> None:
        """Wait until so many syncs of an object have ended so."""
        wait_until(lambda: self.syncs()[name, end] >= number, timeout=ARRIVAL_SECONDS, interval=0.1)

    def wait_for_scrape(self, *, syncs: int) -> None:
        """Wait until Prometheus counts so many syncs."""

        def is_counted() -> bool:
            increases = self.prometheus.increases("alumiini_syncs_total")
            return round(sum(value for _, value in increases)) == syncs

        wait_until(is_counted, timeout=ARRIVAL_SECONDS, interval=0.5)

    def firing(self, *, syncs: int) -> set[str]:
        """Return the alerts that fire in Prometheus once they have been evaluated after so many syncs."""
        evaluated = {"alertname": EVALUATED, "syncs": str(syncs)}

        def fire() -> list[dict[str, str]]:
            found = self._firing()
            return found if any(evaluated.items() <= labels.items() for labels in found) else []

        found = wait_until(fire, timeout=ARRIVAL_SECONDS, interval=0.5)
        return {labels["alertname"] for labels in found} - {EVALUATED}

    def wait_for_alerts(self, *names: str) -> set[str]:
        """Wait until the alerts of these names fire in Prometheus, and return all that fire then."""

        def fire() -> set[str]:
            found = {labels["alertname"] for labels in self._firing()}
            return found if found.issuperset(names) else set()

        return wait_until(fire, timeout=ARRIVAL_SECONDS, interval=0.5) - {EVALUATED}

    def met(self) -> set[str]:
        """Return the objectives that Prometheus finds met, by their indicators."""
        return {sli for sli, expression in OBJECTIVES.items() if list(self.prometheus.query(expression))}

    def page(self) -> str:
        """Return the page of the Prometheus endpoint."""
        return scrape(self._stack.host.prometheus_url)

    def logged(self) -> Counter[str]:
        """Return the number of log events that have arrived, by name."""
        return read_log_events(self.folder.logs)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the attributes of the log events of a name, in the order of their arrival."""
        return [
            otlp_lines.attributes(record)
            for line in otlp_lines.read_lines(self.folder.logs)
            for _, record in otlp_lines.log_records(line)
            if record.get("eventName") == name
        ]

    def spans(self) -> Counter[str]:
        """Return the number of spans that have arrived, by their event."""
        return read_spans(self.folder.traces).events

    def series(self) -> Series:
        """Return the series of the Prometheus endpoint."""
        return read_series(self.page(), ("alumiini_",))

    def cdevents(self) -> Counter[str]:
        """Return the number of CDEvents that were sent, by type without its version."""
        types = (event["type"] for event in read_cdevents(self.folder.cdevents))
        return Counter(".".join(each.split(".")[:-3]) for each in types)

    def audited(self) -> Counter[str]:
        """Return the number of records in the audit log, by the name of their event."""
        with closing(sqlite3.connect(f"file:{self.folder.database}?mode=ro", uri=True)) as log:
            return Counter(
                dict(log.execute("SELECT event_type, count(*) FROM flowstone_audit_log GROUP BY 1"))
            )

    def reaches(self, compared: Callable[[], tuple[object, object]]) -> tuple[object, object]:
        """Return what is recorded and what has arrived: once they are equal, else after a time."""
        deadline = time.monotonic() + ARRIVAL_SECONDS
        recorded, arrived = compared()
        while recorded != arrived and time.monotonic() < deadline:
            time.sleep(0.5)
            recorded, arrived = compared()
        return recorded, arrived

    def _firing(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that fire in Prometheus."""
        return [labels for labels, _ in self.prometheus.query('ALERTS{alertstate="firing"}')]


@contextmanager
def _deployed(root: Path, binary: CollectorBinary | None, prometheus: Path) -> Iterator[Deployment]:
    folder = Folder(root / "far")
    folder.root.mkdir()
    stack = Stack(folder, binary, Addresses.free(), HostAddresses.free(), COLLECTOR_SETTINGS, zero_seconds=0)
    written = write_rules(
        root / "rules.yaml", [*rules(HOLDS), *(evaluated(syncs) for syncs in (HEALTHY_SYNCS, FAILING_SYNCS))]
    )
    with (
        stack.running(),
        Prometheus(prometheus, root / "prometheus", stack.host.metrics, written) as scraping,
        ApiServer(find_api_server(), root / "kubernetes") as server,
        SlowAdmission(root / "admission") as admission,
    ):
        cluster = Cluster(server, example_folder() / "install.yaml")
        admission.install(cluster.api)
        yield Deployment(root, cluster, stack, scraping)


@pytest.fixture(scope="package")
def deployment(collector_binary, tmp_path_factory, unlimited_memory, skip_or_fail) -> Iterator[Deployment]:
    """Return a deployment; the first run builds the API server, which takes minutes."""
    prometheus = find_prometheus()
    if prometheus is None:
        skip_or_fail("prometheus is not on PATH: install the Debian package `prometheus`")
    try:
        with unlimited_memory():
            find_api_server()
    except ApiServerNotFoundError as error:
        skip_or_fail(str(error))
    with _deployed(tmp_path_factory.mktemp("gitops"), collector_binary, prometheus) as made:
        yield made


@pytest.fixture(scope="package")
def story(deployment) -> Story:
    """Return the deployment after everything that can happen to its controller."""
    return run(deployment)
