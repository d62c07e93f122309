"""Whether the installed version of a library is one that its instrumentation supports."""

from __future__ import annotations

import logging
from collections.abc import Collection

from opentelemetry.instrumentation.dependencies import get_dependency_conflicts

from assay.instrumentation.guard import is_first

_logger = logging.getLogger("assay.instrumentation")


def is_unsupported(name: str, dependencies: Collection[str]) -> bool:
    """Return whether a library is installed in a version that is not supported; log it once.

    Args:
        name: The instrumentation, for the log.
        dependencies: The supported versions, as requirements, such as `dagster >= 1.11.6`.
    """
    conflict = get_dependency_conflicts(dependencies)
    if conflict is None or not conflict.found:
        return False
    if is_first(f"version {name} {conflict.found}"):
        _logger.warning(
            "%s supports %s and found %s: the library is not instrumented",
            name,
            conflict.required,
            conflict.found,
        )
    return True


def is_missing(dependencies: Collection[str]) -> bool:
    """Return whether a library is not installed."""
    conflict = get_dependency_conflicts(dependencies)
    return conflict is not None and not conflict.found
