"""The instrumentation scope under which the bridge speaks."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def _version() -> str:
    try:
        return version("assay-telemetry")
    except PackageNotFoundError:  # run from a bare source tree
        return ""


VERSION = _version()


def scope_name(name: str) -> str:
    """Return the scope of an event or a metric: `assay.` and the first segment of its name."""
    return f"assay.{name.partition('.')[0]}"
