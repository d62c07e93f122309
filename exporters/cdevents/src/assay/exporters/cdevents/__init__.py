"""Convert OpenTelemetry log events and spans to CDEvents and deliver them at least once.

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

`parse` and `check` validate events from other sources.
"""

from assay.exporters.cdevents._exporter import CDEventsExporter, Settings
from assay.exporters.cdevents._model import CDEvent, parse
from assay.exporters.cdevents.cloudevents import check
from assay.exporters.cdevents.errors import CDEventsError, Fault, InvalidEvent, RuleError

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
