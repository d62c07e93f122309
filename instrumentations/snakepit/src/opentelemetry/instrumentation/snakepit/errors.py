"""Errors of requests: their class, and the context that is kept of them.

```python
try:
    predict(model="bert", text=text)
except ValueError as error:
    log(error_context(error, request_id="req-1", command="predict", args='{"model": "bert"}'))
```
"""

from __future__ import annotations

import errno
import traceback
from concurrent.futures import BrokenExecutor
from datetime import datetime, timezone
from typing import Any, Literal, TypeAlias

from opentelemetry.instrumentation.snakepit._metadata import described
from opentelemetry.instrumentation.snakepit._process import memory_mb, uptime_seconds

from assay.telemetry import redact
from assay.telemetry.correlation import current
from assay.telemetry.spans import qualified_name

ErrorClass: TypeAlias = Literal["system", "worker", "request", "configuration"]

_SYSTEM_ERRORS = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EAGAIN})


class SnakepitError(Exception):
    """Base of the errors of this package."""


class ConfigurationError(SnakepitError, ValueError):
    """The configuration of observability is invalid, or contradicts what is configured already."""


class WorkerLostError(SnakepitError):
    """A worker ended before it returned the result of a request."""


def error_class(error: BaseException) -> ErrorClass:
    """Return the class of an error.

    - `system`: the machine lacks something, such as memory or file descriptors.
    - `worker`: a worker ended, or cannot be reached.
    - `configuration`: the configuration of observability is invalid.
    - `request`: the command failed, or timed out.
    """
    if isinstance(error, ConfigurationError):
        return "configuration"
    if isinstance(error, MemoryError | SystemError) or (
        isinstance(error, OSError) and error.errno in _SYSTEM_ERRORS
    ):
        return "system"
    if isinstance(error, BrokenExecutor | ConnectionError | EOFError | WorkerLostError):
        return "worker"
    return "request"


def error_context(  # noqa: PLR0913 - the fields of the context
    error: BaseException,
    *,
    request_id: str | None = None,
    command: str | None = None,
    args: str | None = None,
    worker_id: str | None = None,
    pool_name: str | None = None,
) -> dict[str, Any]:
    """Return the context of an error: what failed, in which request, and where. Secrets are redacted.

    Args:
        error: The error.
        request_id: The request that failed.
        command: What the request executes.
        args: Its arguments, sanitised.
        worker_id: The worker that executed it, which is this process or a thread of it.
        pool_name: The pool of the worker.
    """
    return redact(
        {
            "error_type": qualified_name(type(error)),
            "error_message": _text(error),
            "python_traceback": _traceback(error),
            "request_context": described(request_id=request_id, command=command, args=args),
            "system_context": described(
                worker_id=worker_id,
                pool_name=pool_name,
                memory_mb=memory_mb(),
                uptime_seconds=uptime_seconds(),
            ),
            "correlation_id": current(),
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        }
    )


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return ""


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except Exception:  # noqa: BLE001 - an error's own __str__ may raise
        return ""
