"""The caches that a user has named: the names bound the label `cache_name`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping

from assay.instrumentation import Foreign

CACHES = "ASSAY_CACHES"

_logger = logging.getLogger(__name__)


class NamedCaches:
    """Caches by their names.

    Args:
        given: Each is a cache, or a reference `module:attribute`, where the attribute may be `Class.method`.
            None: those of ASSAY_CACHES.
    """

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        self._given = _read(os.environ.get(CACHES, "")) if given is None else dict(given)

    def __bool__(self) -> bool:
        """Return whether a cache is named."""
        return bool(self._given)

    def found(self) -> Iterator[tuple[str, Foreign]]:
        """Yield names and caches; a reference is left out until the program has made its cache."""
        for name, given in self._given.items():
            cache = _find(given) if isinstance(given, str) else given
            if cache is not None:
                yield name, cache


def _read(setting: str) -> dict[str, str]:
    """Return references by names, of a setting such as `commits=controller:find_commit,files=files:CACHE`."""
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in setting.split(","))):
        name, equals, reference = part.partition("=")
        module, colon, attribute = reference.partition(":")
        if name and equals and module and colon and attribute:
            found[name.strip()] = reference.strip()
        else:
            _logger.warning("%s: %r is not used; it must have the form name=module:attribute", CACHES, part)
    return found


def _find(reference: str) -> Foreign:
    """Return what a reference names; None if the program has not imported or made it."""
    module, _, path = reference.partition(":")
    found: Foreign = sys.modules.get(module)
    for attribute in path.split("."):
        found = getattr(found, attribute, None)
    return found
