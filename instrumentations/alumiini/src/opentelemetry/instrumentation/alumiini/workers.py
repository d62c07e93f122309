"""Workers: `alumiini.worker_started`, `.worker_stopped`, `.worker.restart` and `.worker.count`."""

from __future__ import annotations

from opentelemetry.instrumentation.alumiini.errors import as_repository
from opentelemetry.instrumentation.alumiini.events import described, emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository

from assay.telemetry import execute


def worker_started(worker_id: str, *, repository: Repository | str | None = None) -> None:
    """Emit that a repository's worker started.

    Args:
        worker_id: Identifies the worker.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    emit("worker_started", envelope(as_repository(repository)), worker_id=worker_id)


def worker_stopped(worker_id: str, *, repository: Repository | str | None = None) -> None:
    """Emit that a repository's worker stopped.

    Args:
        worker_id: Identifies the worker.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    emit("worker_stopped", envelope(as_repository(repository)), worker_id=worker_id)


def worker_restarted(worker_id: str, *, repository: Repository | str | None = None) -> None:
    """Emit that a repository's worker was restarted.

    Args:
        worker_id: Identifies the worker.
        repository: The repository, or its name; None: that of the sync in progress.
    """
    about = described(as_repository(repository))
    execute("alumiini.worker.restart", None, {**about, "worker_id": worker_id})


def workers_active(count: int, *, memory_bytes: int | None = None) -> None:
    """Emit the number of running workers.

    Args:
        count: How many workers run.
        memory_bytes: The memory of all of them, in bytes.
    """
    measurements = {"count": count}
    if memory_bytes is not None:
        measurements["memory_bytes"] = memory_bytes
    execute("alumiini.worker.count", measurements, {})
