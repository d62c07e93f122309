"""OpenTelemetry instrumentation of worker pools: Snakepit's events, and the pools of Python.

A program needs no change:

    opentelemetry-instrument python service.py

Your own code emits the events that no library knows:

```python
from opentelemetry.instrumentation.snakepit import SnakepitInstrumentor, request

SnakepitInstrumentor().instrument()

with request("req-1", "predict", pool_name="inference") as handled:
    handled.measurements["queue_time"] = 3_000_000  # ns
```
"""

from opentelemetry.instrumentation.snakepit._pools import name_pool
from opentelemetry.instrumentation.snakepit.instrumentor import SnakepitInstrumentor
from opentelemetry.instrumentation.snakepit.pools import pool_queue, pool_started, pool_status, pool_worker
from opentelemetry.instrumentation.snakepit.python_workers import (
    cpu_sampled,
    error_occurred,
    gc_completed,
    memory_sampled,
    tool_execution,
    tool_result_size,
)
from opentelemetry.instrumentation.snakepit.requests import (
    grpc_call,
    python_call,
    request,
    request_completed,
)
from opentelemetry.instrumentation.snakepit.sessions import session, session_affinity
from opentelemetry.instrumentation.snakepit.workers import heartbeat, worker_changed, worker_crashed

__all__ = [
    "SnakepitInstrumentor",
    "cpu_sampled",
    "error_occurred",
    "gc_completed",
    "grpc_call",
    "heartbeat",
    "memory_sampled",
    "name_pool",
    "pool_queue",
    "pool_started",
    "pool_status",
    "pool_worker",
    "python_call",
    "request",
    "request_completed",
    "session",
    "session_affinity",
    "tool_execution",
    "tool_result_size",
    "worker_changed",
    "worker_crashed",
]
