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
import yaml

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

KOPF_END = re.compile(r"\[gitops/(?P<name>[\w-]+)\] (?:Handler|Timer) '\w+' (?P<end>succeeded|failed)")
"""A line of kopf's log with the end of a handler's call for an object."""
ARRIVAL_SECONDS = 120
READ_AT = (3, 8)
"""The numbers of syncs after which the tests read the alerts: the healthy ones, then the failed ones too."""
REGISTRY = Path(__file__).parents[2] / "semconv" / "registry" / "alumiini.yaml"


def _about() -> dict[str, Any]:
    groups = yaml.safe_load(REGISTRY.read_text("utf-8"))["attribute_groups"]
    (about,) = (group["annotations"]["assay"] for group in groups if group["id"] == "alumiini")
    return about


ABOUT = _about()
"""The registry's alerts and objectives."""
FOR = "2s"
"""How long a condition holds before its alert fires, instead of minutes."""
EVALUATED = "Evaluated"
"""An alert of the tests, which fires as long as Prometheus counts so many syncs as its label says."""


def write_rules(path: Path) -> Path:
    """Write the registry's alerts as rules of Prometheus, and others that show when these are evaluated."""
    rules = [{"alert": each["name"], "expr": each["expr"], "for": FOR} for each in ABOUT["alerts"]]
    # The rules of a group are evaluated at the same time, in order.
    rules += [
        {
            "alert": EVALUATED,
            "expr": f"sum(alumiini_syncs_total) == {number}",
            "for": FOR,
            "labels": {"syncs": str(number)},
        }
        for number in READ_AT
    ]
    path.write_text(yaml.safe_dump({"groups": [{"name": "alumiini", "rules": rules}]}), "utf-8")
    return path


class Deployment:
    """The cluster, the git host, the programs, and the far end of everything that they emit.

    Args:
        root: Folder of all files.
        cluster: The cluster.
        host: The git host.
        stack: The far end.
        prometheus: It scrapes the far end.
    """

    def __init__(
        self, root: Path, cluster: Cluster, host: GitHost, stack: Stack, prometheus: Prometheus
    ) -> None:
        self.root, self.cluster, self.host = root, cluster, host
        self._stack = stack
        self.prometheus = prometheus
        self.folder: Folder = stack.folder
        self.traces = root / "git-traces"
        self.traces.mkdir()
        cluster.write_kubeconfig(root / "kubeconfig")
        self.programs = Programs(
            root,
            clean_environment(
                **stack.application_environment(),
                KUBECONFIG=str(root / "kubeconfig"),
                OTEL_SERVICE_NAME="gitops",
                OTEL_METRIC_EXPORT_INTERVAL="500",
                OTEL_RESOURCE_ATTRIBUTES="k8s.cluster.name=test",
                TMPDIR=str(root),
                **{TRACE: str(self.traces)},
            ),
        )

    def syncs(self) -> Counter[tuple[str, str]]:
        """Return how kopf's log says that the calls of its handlers ended: (object, end) to their number."""
        text = self.programs.log.read_text("utf-8")
        return Counter((found["name"], found["end"]) for found in KOPF_END.finditer(text))

    def wait_for_sync(self, name: str, end: str, number: int = 1) -> None:
        """Wait until so many calls for an object have ended so."""
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
            found = [labels for labels, _ in self.prometheus.query('ALERTS{alertstate="firing"}')]
            return found if any(evaluated.items() <= labels.items() for labels in found) else []

        wait_until(fire, timeout=ARRIVAL_SECONDS, interval=0.5)
        return {labels["alertname"] for labels in fire()} - {EVALUATED}

    def met(self) -> set[str]:
        """Return the objectives that Prometheus finds met, by their indicators."""
        return {each["sli"] for each in ABOUT["slos"] if list(self.prometheus.query(each["expr"]))}

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
        return read_series(scrape(self._stack.host.prometheus_url), ("alumiini_",))

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


@contextmanager
def _deployed(root: Path, binary: CollectorBinary | None, prometheus: Path) -> Iterator[Deployment]:
    folder = Folder(root / "far")
    folder.root.mkdir()
    stack = Stack(folder, binary, Addresses.free(), HostAddresses.free(), COLLECTOR_SETTINGS, zero_seconds=0)
    host = GitHost(root / "git")
    with (
        stack.running(),
        Prometheus(
            prometheus, root / "prometheus", stack.host.metrics, write_rules(root / "rules.yaml")
        ) as scraping,
        ApiServer(find_api_server(), root / "kubernetes") as server,
    ):
        cluster = Cluster(server, example_folder() / "install.yaml")
        yield Deployment(root, cluster, host, stack, scraping)


@pytest.fixture(scope="module")
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
