"""Instruments Dagster: runs, assets and ops, IO managers, checks, sensors, schedules, resources.

```python
from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

FlowstoneInstrumentor().instrument()


def name_the_owner(metadata, context):
    metadata["owner"] = context.op_def.tags.get("owner", "nobody")


DagsterInstrumentor().instrument(materialization_hook=name_the_owner)
```

Dagster's own behaviour does not change: results, exceptions and the event log are what they were, and nothing
that goes wrong in here reaches it.
"""

from opentelemetry.instrumentation.flowstone.dagster.instrumentor import DagsterInstrumentor

__all__ = ["DagsterInstrumentor"]
