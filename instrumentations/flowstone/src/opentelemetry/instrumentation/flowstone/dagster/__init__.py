"""Instrument Dagster: runs, assets and ops, IO managers, checks, sensors, schedules, resources.

```python
from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

FlowstoneInstrumentor().instrument()


def name_the_owner(span, step_context):
    span.set_attribute("shop.owner", step_context.op_def.tags.get("owner", "nobody"))


DagsterInstrumentor().instrument(materialization_request_hook=name_the_owner)
```

Dagster's own behaviour does not change: its results, exceptions and event log stay the same, except that runs
and the events of steps have tags with their trace context. An error in the instrumentation does not reach
Dagster.
"""

from opentelemetry.instrumentation.flowstone.dagster._instrumentor import DagsterInstrumentor

__all__ = ["DagsterInstrumentor"]
