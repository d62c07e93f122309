"""The folder of `assay up` and `assay demo`, and the files in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

DEFAULT_FOLDER = Path("assay-data")
"""The folder of `assay up` without `--keep`, in the working directory."""


@dataclass(frozen=True)
class Folder:
    """A folder with the files of all services.

    Args:
        root: The folder.
    """

    root: Path

    @property
    def audit(self) -> Path:
        """Folder of the audit log, its checkpoint and its keys."""
        return self.root / "audit"

    @property
    def database(self) -> Path:
        """Database of the audit log."""
        return self.audit / "log.db"

    @property
    def verifier_key(self) -> Path:
        """Verifier key of the audit log (C2SP), one line."""
        return self.audit / "verifier.key"

    @property
    def checkpoint(self) -> Path:
        """Newest checkpoint of the audit log, a signed note."""
        return self.audit / "checkpoint"

    @property
    def proof(self) -> Path:
        """Proof of one audit record."""
        return self.audit / "proof.json"

    @property
    def cdevents(self) -> Path:
        """Structured CloudEvents, one a line."""
        return self.root / "cdevents.jsonl"

    @property
    def traces(self) -> Path:
        """Spans as OTLP JSON lines."""
        return self.root / "traces.jsonl"

    @property
    def logs(self) -> Path:
        """Log events as OTLP JSON lines."""
        return self.root / "logs.jsonl"

    @property
    def page(self) -> Path:
        """The last page that the demo read from `/metrics`."""
        return self.root / "metrics.prom"

    @property
    def prometheus(self) -> Path:
        """Folder of the demo's Prometheus."""
        return self.root / "prometheus"

    @property
    def environment(self) -> Path:
        """Variables for an application, as a shell reads them."""
        return self.root / "environment"

    @property
    def collector_log(self) -> Path:
        """Output of the Collector."""
        return self.root / "collector.log"

    @property
    def host_log(self) -> Path:
        """Output of the exporter host."""
        return self.root / "host.log"

    @property
    def host_config(self) -> Path:
        """Configuration of the exporter host."""
        return self.root / "host.yaml"

    @property
    def state(self) -> Path:
        """Folder of the files that a restart needs."""
        return self.root / "state"

    @property
    def cdevents_outbox(self) -> Path:
        """Outbox of the CDEvents exporter."""
        return self.state / "cdevents.db"

    @property
    def series(self) -> Path:
        """Database of the metrics exporter."""
        return self.state / "metrics.db"

    @property
    def collector_queues(self) -> Path:
        """Folder of the Collector's persistent queues."""
        return self.state / "collector"

    @property
    def addresses(self) -> Path:
        """Addresses that `assay up --free-ports` chose."""
        return self.state / "addresses.json"
