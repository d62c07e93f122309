"""The bridge and the providers of this process: their flush, their end, and their children."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assay.distro.settings import Settings
    from assay.semconv.catalogue import Catalogue
    from assay.telemetry.bridge import Bridge


class _Process:
    """What this process has set up."""

    bridge: Bridge | None = None
    instruments: bool | None = None
    settings: Settings | None = None
    is_down: bool = False


def initialize(*, instruments: bool = True) -> None:
    """Set up everything in a process that `opentelemetry-instrument` did not start; again does no harm.

    Args:
        instruments: Record metrics; False for a worker whose parent counts for it. ASSAY_INSTRUMENTS=off is
            the same.
    """
    from opentelemetry.instrumentation.auto_instrumentation import (  # noqa: PLC0415 - imports much  # pyright: ignore[reportMissingTypeStubs]
        initialize as initialize_upstream,
    )

    from assay.distro.standard import environment  # noqa: PLC0415 - not when `assay.distro` is imported

    changes: dict[str, str | None] = {
        "OTEL_PYTHON_DISTRO": os.environ.get("OTEL_PYTHON_DISTRO", "assay"),
        "OTEL_PYTHON_CONFIGURATOR": os.environ.get("OTEL_PYTHON_CONFIGURATOR", "assay"),
    }
    if not instruments:
        changes["ASSAY_INSTRUMENTS"] = "off"
    with environment(changes):
        initialize_upstream()


def flush(timeout: float = 10.0) -> bool:
    """Send what is buffered, now.

    Args:
        timeout: Seconds that it may take.

    Returns:
        Whether everything was handed to the exporters in time.
    """
    deadline = monotonic() + timeout
    done = True
    for provider in _providers():
        left = int((deadline - monotonic()) * 1000)
        if left <= 0:
            return False
        try:
            done = bool(provider.force_flush(left)) and done
        except Exception:  # noqa: BLE001 - a reader that cannot collect must not stop the app that flushes
            done = False
    return done


def shutdown(timeout: float | None = None) -> None:
    """Send what is buffered and stop; happens by itself when the program ends.

    Args:
        timeout: Seconds that it may take, ASSAY_EXIT_TIMEOUT if left out.
    """
    settings = _Process.settings
    if settings is None or _Process.is_down:
        return
    _Process.is_down = True
    from assay.distro.outages import is_likely  # noqa: PLC0415 - imported long ago, unless disabled
    from assay.distro.processors import EXIT  # noqa: PLC0415 - as above

    usual = min(settings.exit_timeout, 1.0) if is_likely() else settings.exit_timeout
    EXIT.start(usual if timeout is None else timeout)
    for provider in _providers():
        with suppress(
            Exception
        ):  # upstream raises when a reader's time is over; its filter has reported the outage
            if hasattr(provider, "add_metric_reader"):
                provider.shutdown(timeout_millis=EXIT.left() * 1000)
            else:
                provider.shutdown()


def is_set_up() -> bool:
    """Whether this process has its providers."""
    return _Process.settings is not None


def set_up(settings: Settings) -> None:
    """Attach the bridge, and see to the end of this process and of its children."""
    _Process.settings = settings
    _set_filters(settings)
    attach_bridge(settings)
    atexit.register(shutdown)
    _flush_at_multiprocessing_exit()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_flush_at_multiprocessing_exit)


def attach_bridge(settings: Settings) -> None:
    """Attach the bridge; in place of the one that is there, if it records metrics where it should not."""
    if _Process.bridge is not None:
        if _Process.instruments == settings.instruments:
            return
        _Process.bridge.detach()
    from assay.distro.auditing import audit_sink  # noqa: PLC0415 - not when `assay.distro` is imported
    from assay.telemetry.bridge import Bridge  # noqa: PLC0415 - as above

    bridge = Bridge(
        catalogue(settings.registry), audit=audit_sink(settings), instruments=settings.instruments
    )
    bridge.attach()
    _Process.bridge, _Process.instruments = bridge, settings.instruments


def catalogue(registry: tuple[str, ...]) -> Catalogue:
    """Return Assay's catalogue with the user's own registry; a registry with an error is left out."""
    from assay.semconv import CATALOGUE  # noqa: PLC0415 - large

    if not registry:
        return CATALOGUE
    import logging  # noqa: PLC0415 - rarely needed

    from assay.semconv.registry import extended  # noqa: PLC0415 - needs a YAML parser

    try:
        return extended(*registry)
    except Exception as error:  # noqa: BLE001 - a wrong registry must not stop the app
        logging.getLogger("assay.distro").warning("ASSAY_REGISTRY is not used: %s", error)
        return CATALOGUE


def _set_filters(settings: Settings) -> None:
    from assay.distro.filters import apply  # noqa: PLC0415 - not when `assay.distro` is imported

    apply(settings)


def _providers() -> Iterator[Any]:
    """Yield the SDK's providers; none before the set-up, or when the SDK is disabled."""
    if _Process.settings is None:
        return
    from opentelemetry._logs import get_logger_provider  # noqa: PLC0415 - imported long ago
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - as above
    from opentelemetry.trace import get_tracer_provider  # noqa: PLC0415 - as above

    for provider in (get_tracer_provider(), get_meter_provider(), get_logger_provider()):
        if hasattr(provider, "force_flush"):
            yield provider


def _flush_at_multiprocessing_exit() -> None:
    """Children of multiprocessing end without `atexit`: they run multiprocessing's own finalizers.

    Those of before the fork are cleared, so the finalizer is made by a hook that runs when the child starts.
    """
    started_by_spawn = any("multiprocessing" in argument for argument in sys.orig_argv[1:])
    if "multiprocessing.util" not in sys.modules and not started_by_spawn:
        return
    from multiprocessing import util  # noqa: PLC0415 - only in its children

    util.register_after_fork(_Process, _finalize)


def _finalize(_: object) -> None:
    from multiprocessing import util  # noqa: PLC0415 - only in its children

    util.Finalize(None, shutdown, exitpriority=0)
