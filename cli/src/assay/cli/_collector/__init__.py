"""Find, build, check and run an OpenTelemetry Collector on this machine.

```python
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._collector.process import Addresses, CollectorProcess
from assay.cli._collector.sources import find_collector

binary = find_collector("require", report=print)
with CollectorProcess(
    binary.path,
    COMPOSITIONS["all-in-one"].paths,
    addresses=Addresses.free(),
    storage=Path("queue"),
    log=Path("collector.log"),
    environment={"ASSAY_AUDIT_TOKEN": token},
) as collector:
    print(collector.addresses.otlp_grpc)
```
"""
