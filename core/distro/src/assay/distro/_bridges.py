"""The bridges from the bus to OpenTelemetry in this process.

Each bus instrumentor attaches the bridge of its subsystem, with the defaults that are set here. The distro
itself attaches one bridge, for the subsystems of the catalogue that have no installed instrumentor, such as
those of ASSAY_REGISTRY. So `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=flowstone` leaves FlowStone's events
without telemetry, with the distro as without it.
"""

from __future__ import annotations

import logging
from functools import cache
from importlib.metadata import version
from typing import Any

from opentelemetry.util._importlib_metadata import (
    Distribution,
    entry_points,  # pyright: ignore[reportUnknownVariableType]
)

from assay.distro._audit_emitter import AuditEmitter
from assay.distro._settings import Settings
from assay.semconv import SCHEMA_URL
from assay.semconv.catalogue import Catalogue
from assay.telemetry.bridge import Bridge, Defaults, Scope, relay_recordings, set_defaults

_DISTRIBUTION = "assay-distro"
_OURS = "assay-"

_logger = logging.getLogger("assay.distro")


def attach(settings: Settings, audit: AuditEmitter) -> None:
    """Set the defaults of the instrumentors' bridges, and attach the distro's own.

    Args:
        settings: The registry, and whether this process records metrics.
        audit: The audit writer of all bridges.
    """
    defined = catalogue(settings.registry)
    set_defaults(Defaults(defined, audit, settings.instruments))
    own = defined.without(*_instrumented_subsystems())
    scope = Scope("assay.distro", version(_DISTRIBUTION), SCHEMA_URL)
    Bridge(own, scope=scope, audit=audit, records=settings.instruments).attach()


def stop_recording(settings: Settings, audit: AuditEmitter) -> None:
    """Record no more metrics in this process: its parent records for it.

    Args:
        settings: As of now.
        audit: The audit writer of all bridges.
    """
    set_defaults(Defaults(catalogue(settings.registry), audit, records=False))
    relay_recordings(_ignore)


def catalogue(registry: tuple[str, ...]) -> Catalogue:
    """Return Assay's catalogue with the user's own registry files, without them if they have an error."""
    if registry:
        from assay.semconv.registry import extended  # noqa: PLC0415 - imports a YAML parser

        try:
            return extended(*registry)
        except Exception as error:  # noqa: BLE001 - a wrong registry must not stop the application
            _logger.warning("ASSAY_REGISTRY is not used: %s", error)
    from assay.semconv import CATALOGUE  # noqa: PLC0415 - not loaded before it is needed

    return CATALOGUE


def _instrumented_subsystems() -> set[str]:
    """Return the subsystems that have an installed bus instrumentor, which has the subsystem's name."""
    is_ours = cache(_is_ours)  # reads a file; a distribution has several entry points
    entries = entry_points(group="opentelemetry_instrumentor")
    return {entry.name for entry in entries if entry.dist and is_ours(entry.dist)}


def _is_ours(distribution: Distribution) -> bool:
    """Return whether an instrumentor is based on Assay's bus: `redis` of others is not subsystem `redis`."""
    return any(requirement.startswith(_OURS) for requirement in distribution.requires or [])


def _ignore(*_: Any) -> None:  # noqa: ANN401 - an event, its measurements, its metadata and its context
    pass
