"""Add up the metrics of many processes, and serve them to Prometheus as lasting series.

```yaml
# the configuration of `assay serve`
exporters:
  metrics:
    type: metrics
    database: /var/lib/assay/metrics.db
    address: 127.0.0.1:8889
```
"""

from assay.exporters.metrics._exporter import MetricsExporter, Settings
from assay.exporters.metrics.errors import MetricsError, StoreError

__all__ = ["MetricsError", "MetricsExporter", "Settings", "StoreError"]
