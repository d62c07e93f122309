"""Assay's semantic conventions: the registry, and the catalogue and constants generated from it.

```python
from assay.semconv import CATALOGUE, attributes, events

event = CATALOGUE.events[events.FLOWSTONE_CHECKPOINT_APPROVED]
assert event.audit is not None
assert attributes.FLOWSTONE_ASSET == "flowstone.asset"
```

Importing the package loads none of them; each name loads its own module when it is first used.
`assay.semconv.registry.load` reads your own registry files.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assay.semconv._generated import attributes, events, metrics, spans
    from assay.semconv._generated.catalogue import CATALOGUE
    from assay.semconv._generated.schema import SCHEMA_URL

__all__ = ["CATALOGUE", "SCHEMA_URL", "attributes", "events", "metrics", "spans"]

_MODULES = {"CATALOGUE": "catalogue", "SCHEMA_URL": "schema"}


def __getattr__(name: str) -> object:
    """Return an exported name, and load its module (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = import_module(f"assay.semconv._generated.{_MODULES.get(name, name)}")
    return getattr(module, name) if name in _MODULES else module


def __dir__() -> list[str]:
    """Return the exported names beside the loaded ones."""
    return sorted({*globals(), *__all__})
