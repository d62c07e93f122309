"""OpenTelemetry's own attributes, to which a registry refers without defining them.

The attributes that Assay uses are known without a further package (`assay.semconv._generated.upstream`). All
others are known if `opentelemetry-semantic-conventions` is installed.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil

from assay.semconv._generated.upstream import ATTRIBUTES

_PACKAGES = ("opentelemetry.semconv.attributes", "opentelemetry.semconv._incubating.attributes")


def known(key: str) -> bool:
    """Return whether OpenTelemetry is known to define the attribute."""
    return key in ATTRIBUTES or key in published()


@functools.cache
def published() -> frozenset[str]:
    """Return the attributes of `opentelemetry-semantic-conventions`; none if it is not installed."""
    keys: set[str] = set()
    for package in _PACKAGES:
        try:
            root = importlib.import_module(package)
        except ImportError:
            continue
        for found in pkgutil.iter_modules(root.__path__):
            module = importlib.import_module(f"{package}.{found.name}")
            keys.update(
                value
                for constant, value in vars(module).items()
                if constant.isupper() and isinstance(value, str) and "." in value
            )
    return frozenset(keys)
