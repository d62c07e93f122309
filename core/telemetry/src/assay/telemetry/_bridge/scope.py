"""The instrumentation scope under which a bridge emits."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple


class Scope(NamedTuple):
    """OpenTelemetry's instrumentation scope.

    Args:
        name: Such as `opentelemetry.instrumentation.flowstone`.
        version: Version of the instrumentation.
        schema_url: Schema of the attributes; empty: none.
    """

    name: str
    version: str = ""
    schema_url: str = ""

    @classmethod
    def of_distribution(cls, name: str, distribution: str, schema_url: str = "") -> Scope:
        """Return a scope whose version is that of an installed distribution."""
        try:
            return cls(name, version(distribution), schema_url)
        except PackageNotFoundError:  # run from a bare source tree
            return cls(name, "", schema_url)


OWN_SCOPE = Scope.of_distribution("assay.telemetry", "assay-telemetry")
"""The scope of this package's own metrics, and of a bridge that is given none."""
