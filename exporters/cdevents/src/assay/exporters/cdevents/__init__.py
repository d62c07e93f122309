"""CDEvents out of OpenTelemetry log events and spans, delivered at least once.

```yaml
# the configuration of `assay serve`
exporters:
  cdevents:
    type: cdevents
    outbox: /var/lib/assay/cdevents.db
    sinks:
      - {type: file, path: /var/lib/assay/cdevents.jsonl}
      - {type: http, url: "https://ci.example.org/events", mode: binary, token: "${env:CI_TOKEN}"}
```

`parse` and `check` validate events that come from elsewhere.
"""

from assay.exporters.cdevents.cloudevents import check
from assay.exporters.cdevents.errors import CDEventsError, Fault, InvalidEvent, RuleError
from assay.exporters.cdevents.exporter import CDEventsExporter, Settings
from assay.exporters.cdevents.model import CDEvent, parse

__all__ = [
    "CDEvent",
    "CDEventsError",
    "CDEventsExporter",
    "Fault",
    "InvalidEvent",
    "RuleError",
    "Settings",
    "check",
    "parse",
]
