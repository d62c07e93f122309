"""OpenTelemetry instrumentation of asset orchestration: FlowStone's events, and Dagster.

A Dagster project needs no change:

    opentelemetry-instrument dagster job execute -f project.py -j nightly

or, in a program that sets up OpenTelemetry itself:

```python
from opentelemetry.instrumentation.flowstone import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor

FlowstoneInstrumentor().instrument()
DagsterInstrumentor().instrument()
```

Your own code emits the events that no library knows:

```python
from opentelemetry.instrumentation.flowstone import checkpoints, io_store, materialization

with materialization("orders", partition="2026-11-21", run_id="r-1"):
    with io_store("orders", "files", partition="2026-11-21") as stored:
        stored.measurements["size_bytes"] = 4096

approval = checkpoints.request("publish", actor="ines@example.com")
checkpoints.approve("publish", approval, actor="omar@example.com", reason="totals match")
```
"""

from opentelemetry.instrumentation.flowstone import checkpoints, gates
from opentelemetry.instrumentation.flowstone.errors import ApprovalError, FlowstoneError, error
from opentelemetry.instrumentation.flowstone.flows import item_reader, parallel, route, scatter
from opentelemetry.instrumentation.flowstone.instrumentor import FlowstoneInstrumentor
from opentelemetry.instrumentation.flowstone.io import io_load, io_store
from opentelemetry.instrumentation.flowstone.materializations import (
    asset_check,
    materialization,
    materialization_retry,
)
from opentelemetry.instrumentation.flowstone.resources import resource_health
from opentelemetry.instrumentation.flowstone.runs import run, run_canceled, run_queued
from opentelemetry.instrumentation.flowstone.triggers import (
    schedule_tick,
    schedule_trigger,
    sensor_poll,
    sensor_trigger,
)

__all__ = [
    "ApprovalError",
    "FlowstoneError",
    "FlowstoneInstrumentor",
    "asset_check",
    "checkpoints",
    "error",
    "gates",
    "io_load",
    "io_store",
    "item_reader",
    "materialization",
    "materialization_retry",
    "parallel",
    "resource_health",
    "route",
    "run",
    "run_canceled",
    "run_queued",
    "scatter",
    "schedule_tick",
    "schedule_trigger",
    "sensor_poll",
    "sensor_trigger",
]
