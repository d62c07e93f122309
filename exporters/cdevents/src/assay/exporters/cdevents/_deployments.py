"""Which change a deployment makes: the first one of a service, an upgrade, or a rollback.

The outbox keeps the deployments, because a controller forgets them when it restarts. Decision 0032 has the
reasons.
"""

from __future__ import annotations

import json
from bisect import insort
from dataclasses import replace
from typing import Final, Literal

from assay.exporters.cdevents._mapping import source
from assay.exporters.cdevents._outbox import DeliveryOutbox, Deployment
from assay.exporters.cdevents._records import SourceRecord
from assay.semconv import attributes

EVENT: Final = "alumiini.sync_completed"
"""The log event that reports a deployment."""
_SERVICE: Final = (
    attributes.ALUMIINI_CLUSTER_ID,
    attributes.K8S_NAMESPACE_NAME,
    attributes.ALUMIINI_REPO_NAME,
)
"""Together with the source they identify a service in an environment."""
_LATEST: Final = 2**63 - 1
"""SQLite's largest integer. OTLP's times are unsigned."""


class Deployments:
    """Classifies the deployments of one batch.

    Args:
        outbox: The deployments of earlier batches.
        source: Template for `context.source`.

    Attributes:
        new: The deployments of this batch that changed a service, to be added to the outbox.
    """

    def __init__(self, outbox: DeliveryOutbox, *, source: str) -> None:
        self._outbox = outbox
        self._source = source
        self._known: dict[str, list[tuple[int, str]]] = {}
        self.new: list[Deployment] = []

    def classified(self, record: SourceRecord) -> SourceRecord:
        """Return a deployment with the attribute `alumiini.sync.change`, and any other record unchanged.

        The attribute stays absent if the revision is the current one or unknown. It stays as it is if the
        application has set it.
        """
        if record.span or record.name != EVENT:
            return record
        service = self._service(record)
        revision = str(record.attributes.get(attributes.ALUMIINI_REPO_COMMIT, ""))
        time = min(record.end, _LATEST)
        change = self._change(service, revision, time)
        if not change:
            return record
        insort(self._history(service), (time, revision))
        self.new.append(Deployment(service, time, revision))
        return replace(record, attributes={attributes.ALUMIINI_SYNC_CHANGE: change, **record.attributes})

    def _change(
        self, service: str, revision: str, time: int
    ) -> Literal["", "deployed", "upgraded", "rolledback"]:
        """Compare with the earlier deployments only, so that a repeated record gets the same result."""
        if not revision:
            return ""
        earlier = [known for at, known in self._history(service) if at < time]
        if not earlier:
            return "deployed"
        if revision == earlier[-1]:
            return ""
        return "rolledback" if revision in earlier else "upgraded"

    def _history(self, service: str) -> list[tuple[int, str]]:
        """Return time and revision of a service's deployments, the oldest first."""
        if service not in self._known:
            self._known[service] = self._outbox.deployments(service)
        return self._known[service]

    def _service(self, record: SourceRecord) -> str:
        parts = [source(self._source, record.resource), *(record.attributes.get(key, "") for key in _SERVICE)]
        return json.dumps(parts, separators=(",", ":"))
