"""Compare what arrived at the far end with Dagster's own event log.

```python
with DagsterInstance.get() as instance:
    for line in differences(read_recorded(instance), read_arrived(folder)):
        print(line)
```
"""

from assay.cli._comparison.arrived import read_arrived
from assay.cli._comparison.differences import differences
from assay.cli._comparison.facts import Fact, Facts
from assay.cli._comparison.recorded import read_recorded

__all__ = ["Fact", "Facts", "differences", "read_arrived", "read_recorded"]
