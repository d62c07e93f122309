"""Events inside a Python worker: `snakepit.python.*`."""

from __future__ import annotations

from opentelemetry.instrumentation.snakepit._metadata import described

from assay.telemetry import Span, execute, span


def tool_execution(tool: str, **metadata: object) -> Span:
    """Return the span of the execution of a tool; a context manager and a decorator.

    Args:
        tool: Name of the tool.
        metadata: Further metadata of the events.
    """
    return span("snakepit.python.tool.execution", **described(tool=tool, **metadata))


def tool_result_size(tool: str, size_bytes: int) -> None:
    """Emit the size of a tool's result, in bytes."""
    execute("snakepit.python.tool.result_size", {"size_bytes": size_bytes}, {"tool": tool})


def memory_sampled(worker_id: str, memory_bytes: int) -> None:
    """Emit the resident memory of a worker, in bytes."""
    execute("snakepit.python.memory.sampled", {"memory_bytes": memory_bytes}, {"worker_id": worker_id})


def cpu_sampled(worker_id: str, cpu_percent: float) -> None:
    """Emit the processor time of a worker, in percent of one core."""
    execute("snakepit.python.cpu.sampled", {"cpu_percent": cpu_percent}, {"worker_id": worker_id})


def gc_completed(worker_id: str, collected: int) -> None:
    """Emit that a garbage collection in a worker freed this number of objects."""
    execute("snakepit.python.gc.completed", {"collected": collected}, {"worker_id": worker_id})


def error_occurred(worker_id: str, **context: object) -> None:
    """Emit that Python code in a worker raised an error.

    Args:
        worker_id: The worker.
        context: The error's context: `pool_name`, `request_id`, `command`, `args` (sanitised, as JSON),
            `error_type`, `error_message`, `error_class`, `python_traceback`, `memory_mb`, `uptime_seconds`.
    """
    execute("snakepit.python.error.occurred", None, described(worker_id=worker_id, **context))
