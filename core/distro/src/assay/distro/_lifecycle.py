"""Set-up, flush and shutdown of this process's telemetry, and of its child processes'."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.distro._audit_emitter import AuditEmitter
    from assay.distro._settings import Settings


class _Process:
    """The state of this process's set-up."""

    audit: AuditEmitter | None = None
    settings: Settings | None = None
    is_down: bool = False


def initialize(*, instruments: bool = True) -> None:
    """Set up telemetry in a process that `opentelemetry-instrument` did not start.

    A second call has no effect, except that `instruments=False` stops recording metrics.

    Args:
        instruments: Whether to record metrics; False for a worker whose parent records for it, as with
            ASSAY_INSTRUMENTS=off.
    """
    from opentelemetry.instrumentation.auto_instrumentation import (  # noqa: PLC0415 - imports much  # pyright: ignore[reportMissingTypeStubs]
        initialize as initialize_upstream,
    )

    from assay.distro._otel_variables import environment  # noqa: PLC0415 - not when `assay.distro` is imported

    changes: dict[str, str | None] = {
        "OTEL_PYTHON_DISTRO": os.environ.get("OTEL_PYTHON_DISTRO", "assay"),
        "OTEL_PYTHON_CONFIGURATOR": os.environ.get("OTEL_PYTHON_CONFIGURATOR", "assay"),
    }
    if not instruments:
        changes["ASSAY_INSTRUMENTS"] = "off"
    with environment(changes):
        initialize_upstream()


def flush(timeout: float = 10.0) -> bool:
    """Send all buffered telemetry now.

    Args:
        timeout: Seconds to wait at most.

    Returns:
        Whether everything was handed to the exporters in time, and every audit record accepted or reported.
    """
    deadline = monotonic() + timeout
    flushed = [_flush(provider, deadline) for provider in _providers()]
    if _Process.audit is not None:
        flushed.append(_Process.audit.flush(max(deadline - monotonic(), 0.0)))
    return all(flushed)


def shutdown(timeout: float | None = None) -> None:
    """Send all buffered telemetry and stop. Runs by itself when the program ends.

    Args:
        timeout: Seconds to wait at most; ASSAY_EXIT_TIMEOUT if left out.
    """
    settings, audit = _Process.settings, _Process.audit
    if settings is None or _Process.is_down:
        return
    _Process.is_down = True
    from assay.audit import instruments  # noqa: PLC0415 - imported by the set-up
    from assay.distro._deadline import EXIT  # noqa: PLC0415 - as above
    from assay.distro._outages import is_likely  # noqa: PLC0415 - as above

    usual = min(settings.exit_timeout, 1.0) if is_likely() else settings.exit_timeout
    EXIT.start(usual if timeout is None else timeout)
    if audit is not None:
        audit.shutdown(EXIT.left())  # before the metrics, which count the records that are lost here
    instruments.end()
    for provider in _providers():
        # Upstream raises when a metric reader's time is over; the outage is reported already.
        with suppress(Exception):
            if hasattr(provider, "add_metric_reader"):
                provider.shutdown(timeout_millis=EXIT.left() * 1000)
            else:
                provider.shutdown()


def is_set_up() -> bool:
    """Return whether this process has its providers."""
    return _Process.settings is not None


def set_up(settings: Settings) -> None:
    """Attach the bridges, and arrange the shutdown of this process and of its children."""
    from assay.audit import set_default_provider  # noqa: PLC0415 - not when `assay.distro` is imported
    from assay.distro import _bridges, _forks  # noqa: PLC0415 - as above
    from assay.distro._audit_emitter import AuditEmitter  # noqa: PLC0415 - as above
    from assay.distro._filters import apply  # noqa: PLC0415 - as above

    apply(settings)
    audit = AuditEmitter(settings)
    _bridges.attach(settings, audit)
    set_default_provider(audit.provider)
    _Process.settings, _Process.audit = settings, audit
    atexit.register(shutdown)
    _forks.install()
    _shut_down_at_multiprocessing_exit()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_shut_down_at_multiprocessing_exit)
        os.register_at_fork(after_in_child=_shut_down_at_celery_exit)


def update(settings: Settings) -> None:
    """Adopt a changed ASSAY_INSTRUMENTS after the set-up: recording can be stopped, not started."""
    if _Process.settings is None or _Process.audit is None:
        return
    if _Process.settings.instruments and not settings.instruments:
        from assay.distro import _bridges  # noqa: PLC0415 - imported by the set-up

        _bridges.stop_recording(settings, _Process.audit)
        _Process.settings = settings


def _flush(provider: Any, deadline: float) -> bool:  # noqa: ANN401 - of any signal
    milliseconds = int((deadline - monotonic()) * 1000)
    try:
        return milliseconds > 0 and bool(provider.force_flush(milliseconds))
    except Exception:  # noqa: BLE001 - a metric reader that fails must not stop the application
        return False


def _providers() -> Iterator[Any]:
    """Yield the SDK's providers; none before the set-up, or when the SDK is disabled."""
    if _Process.settings is None:
        return
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415 - imported by the set-up
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - as above
    from opentelemetry.trace import get_tracer_provider  # noqa: PLC0415 - as above

    for provider in (get_tracer_provider(), get_meter_provider(), get_logger_provider()):
        if hasattr(provider, "force_flush"):
            yield provider


def _shut_down_at_multiprocessing_exit() -> None:
    """Shut down in children of multiprocessing, which end without `atexit`.

    They run multiprocessing's own finalizers. A fork clears those of the parent, so a hook that runs when the
    child starts registers the finalizer.
    """
    started_by_spawn = any("multiprocessing" in argument for argument in sys.orig_argv[1:])
    if "multiprocessing.util" not in sys.modules and not started_by_spawn:
        return
    from multiprocessing import util  # noqa: PLC0415 - only in its children

    util.register_after_fork(_Process, _register_finalizer)


def _register_finalizer(_: object) -> None:
    from multiprocessing import util  # noqa: PLC0415 - only in its children

    util.Finalize(None, shutdown, exitpriority=0)


def _shut_down_at_celery_exit() -> None:
    """Shut down in the children of a Celery worker, which end by `os._exit` after a signal of Celery's."""
    signals: Any = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(_end_celery_child, weak=False)


def _end_celery_child(**_: object) -> None:
    shutdown()
