"""Real parts for the tests of instrumentations and exporters: `pip install 'assay-instrumentation[testing]'`.

```python
@pytest.fixture
def telemetry():
    with InMemoryTelemetry() as found:
        ShopInstrumentor().instrument(**found.providers)
        yield found
        ShopInstrumentor().uninstrument()
```
"""

from assay.instrumentation.testing.certificates import Certificate, CertificateAuthority
from assay.instrumentation.testing.events import BusEvent, BusEvents
from assay.instrumentation.testing.git_server import GitServer
from assay.instrumentation.testing.ports import free_port
from assay.instrumentation.testing.programs import clean_environment, run_instrumented
from assay.instrumentation.testing.receiver import OTLPReceiver
from assay.instrumentation.testing.telemetry import InMemoryTelemetry
from assay.instrumentation.testing.waiting import wait_until

__all__ = [
    "BusEvent",
    "BusEvents",
    "Certificate",
    "CertificateAuthority",
    "GitServer",
    "InMemoryTelemetry",
    "OTLPReceiver",
    "clean_environment",
    "free_port",
    "run_instrumented",
    "wait_until",
]
