"""Assay's semantic conventions: the registry, and the catalogue and constants generated from it.

```python
from assay.semconv import CATALOGUE, attributes, events

event = CATALOGUE.events[events.FLOWSTONE_CHECKPOINT_APPROVED]
assert event.audit is not None
assert attributes.FLOWSTONE_ASSET == "flowstone.asset"
```

`assay.semconv.registry.load` reads registry files of your own.
"""

from assay.semconv._generated import attributes, events, metrics, spans
from assay.semconv._generated.catalogue import CATALOGUE

__all__ = ["CATALOGUE", "attributes", "events", "metrics", "spans"]
