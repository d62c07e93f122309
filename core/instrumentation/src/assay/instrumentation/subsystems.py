"""A subsystem: the bus events whose names share a first segment, and the package that instruments it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from os import PathLike

from assay.semconv.catalogue import Catalogue
from assay.telemetry.bridge import Scope


@dataclass(frozen=True, slots=True)
class Subsystem:
    """A subsystem of bus events.

    Args:
        name: First segment of its events' names, such as `flowstone`. Its bus instrumentor's entry point in
            `opentelemetry_instrumentor` has this name too.
        package: Import name of the package that instruments it: the name of its instrumentation scope, as
            OpenTelemetry's instrumentations have it. The distribution has the same name with dashes for dots.
        registry: Registry file that defines its events, if Assay's registry does not.
        schema_url: Schema URL of that registry file.
    """

    name: str
    package: str
    registry: str | PathLike[str] | None = None
    schema_url: str = ""

    def scope(self) -> Scope:
        """Return the instrumentation scope of the subsystem's telemetry."""
        schema_url = self.schema_url
        if self.registry is None:
            from assay.semconv import SCHEMA_URL  # noqa: PLC0415 - only when a bridge is attached

            schema_url = SCHEMA_URL
        return Scope(self.package, _version(self.package.replace(".", "-")), schema_url)

    def catalogue(self, base: Catalogue) -> Catalogue:
        """Return the subsystem's part of a catalogue, extended by its own registry file.

        Args:
            base: The process's catalogue. Its definition of a name replaces that of the registry file.

        Raises:
            assay.semconv.registry.RegistryError: The registry file cannot be used.
        """
        if self.registry is None:
            return base.of(self.name)
        from assay.semconv import CATALOGUE  # noqa: PLC0415 - large
        from assay.semconv.registry import load  # noqa: PLC0415 - needs a YAML parser

        return load(self.registry, base=CATALOGUE).merged(base).of(self.name)


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:  # run from a bare source tree
        return ""
