"""One bridge for each subsystem, kept attached as long as an instrumentor needs it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.instrumentation.environment_variables import OTEL_PYTHON_DISABLED_INSTRUMENTATIONS

from assay.instrumentation.subsystems import Subsystem
from assay.semconv.catalogue import Catalogue
from assay.telemetry.bridge import Bridge, defaults
from assay.telemetry.errors import BridgeConflictError

PROVIDERS = ("tracer_provider", "meter_provider", "logger_provider")

_logger = logging.getLogger(__name__)


@dataclass
class _Lease:
    bridge: Bridge
    providers: Mapping[str, Any]
    holders: set[object] = field(default_factory=set[object])


_leases: dict[str, _Lease] = {}
_lock = threading.Lock()


def acquire(subsystem: Subsystem, holder: object, arguments: Mapping[str, Any]) -> None:
    """Attach the subsystem's bridge, or share the one that is attached.

    Args:
        subsystem: Whose bridge.
        holder: Who needs it, until `release`.
        arguments: The arguments of `instrument`. The providers among them are used if the bridge is attached
            now, else a warning says that they are not.
    """
    providers = {name: arguments[name] for name in PROVIDERS if arguments.get(name) is not None}
    with _lock:
        lease = _leases.get(subsystem.name)
        if lease is None:
            lease = _attach(subsystem, providers)
            if lease is None:
                return
        elif any(lease.providers.get(name) is not provider for name, provider in providers.items()):
            _warn_unused(subsystem, "a bridge with other providers is attached")
        lease.holders.add(holder)


def release(subsystem: Subsystem, holder: object) -> None:
    """Detach the subsystem's bridge if nobody else needs it."""
    with _lock:
        lease = _leases.get(subsystem.name)
        if lease is None or holder not in lease.holders:
            return
        lease.holders.discard(holder)
        if not lease.holders:
            del _leases[subsystem.name]
            lease.bridge.detach()


def meter_provider(subsystem: Subsystem) -> Any:  # noqa: ANN401 - an object of the API, or None
    """Return the meter provider of the subsystem's bridge; None is the global one."""
    lease = _leases.get(subsystem.name)
    return lease.providers.get("meter_provider") if lease is not None else None


def is_disabled(name: str) -> bool:
    """Return whether OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names an instrumentation, or all (`*`)."""
    disabled = os.environ.get(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS, "").split(",")
    return not {name, "*"}.isdisjoint(part.strip() for part in disabled)


def _attach(subsystem: Subsystem, providers: Mapping[str, Any]) -> _Lease | None:
    process = defaults()
    bridge = Bridge(
        subsystem.catalogue(process.catalogue or Catalogue()),  # never None: `defaults` sees to it
        scope=subsystem.scope(),
        audit=process.audit,
        records=process.records,
        **providers,
    )
    try:
        bridge.attach()
    except BridgeConflictError:
        # A program that attaches a bridge of its own has chosen where these events go.
        if providers:
            _warn_unused(subsystem, "the program has attached a bridge for its events")
        return None
    lease = _leases[subsystem.name] = _Lease(bridge, providers)
    return lease


def _warn_unused(subsystem: Subsystem, reason: str) -> None:
    _logger.warning("the providers given to instrument %s are not used: %s", subsystem.name, reason)


def _renew_lock() -> None:
    global _lock  # noqa: PLW0603 - another thread may have held it when the process forked
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)
