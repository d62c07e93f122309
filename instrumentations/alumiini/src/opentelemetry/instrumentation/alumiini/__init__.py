"""OpenTelemetry instrumentation of GitOps controllers: ALUMIINI's events.

```python
from opentelemetry.instrumentation.alumiini import (
    AlumiiniInstrumentor,
    Repository,
    apply,
    git_operation,
    sync,
)

AlumiiniInstrumentor().instrument()

repository = Repository("my-app", "https://github.com/org/my-app.git", branch="main", path="deploy/")
with sync(repository, trigger="poll", namespace="prod") as running:
    with git_operation("fetch") as fetch:
        fetch.fetched(commit="9d59409acf479dfa0df1aa568182e43e43df8bbe")
    with apply("Deployment", "web"):
        ...
```
"""

from opentelemetry.instrumentation.alumiini.applies import Apply, apply
from opentelemetry.instrumentation.alumiini.caches import cache_access
from opentelemetry.instrumentation.alumiini.drifts import drift_corrected, drift_detected
from opentelemetry.instrumentation.alumiini.errors import AlumiiniError, EventError, error
from opentelemetry.instrumentation.alumiini.events import AlumiiniEvent
from opentelemetry.instrumentation.alumiini.git_operations import (
    GitOperation,
    git_cloned,
    git_fetched,
    git_operation,
    git_operation_ended,
)
from opentelemetry.instrumentation.alumiini.instrumentor import AlumiiniInstrumentor
from opentelemetry.instrumentation.alumiini.repositories import Repository
from opentelemetry.instrumentation.alumiini.syncs import Sync, sync
from opentelemetry.instrumentation.alumiini.webhooks import webhook_received
from opentelemetry.instrumentation.alumiini.workers import (
    worker_restarted,
    worker_started,
    worker_stopped,
    workers_active,
)

__all__ = [
    "AlumiiniError",
    "AlumiiniEvent",
    "AlumiiniInstrumentor",
    "Apply",
    "EventError",
    "GitOperation",
    "Repository",
    "Sync",
    "apply",
    "cache_access",
    "drift_corrected",
    "drift_detected",
    "error",
    "git_cloned",
    "git_fetched",
    "git_operation",
    "git_operation_ended",
    "sync",
    "webhook_received",
    "worker_restarted",
    "worker_started",
    "worker_stopped",
    "workers_active",
]
