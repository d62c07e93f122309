"""The OpenTelemetry distro of Assay: `opentelemetry-instrument` with no settings.

```console
$ pip install assay-distro
$ opentelemetry-instrument python app.py
```

Traces, metrics and logs are sent to the Collector on this machine (OTLP/HTTP, port 4318), audit records to
its audit endpoint (port 4319). Every setting is an environment variable: docs/reference/settings.md.

A program that `opentelemetry-instrument` did not start, such as a spawned worker, sets itself up:

```python
from assay.distro import flush, initialize

initialize()
...
flush(timeout=5)
```
"""

from assay.distro._lifecycle import flush, initialize, shutdown

__all__ = ["flush", "initialize", "shutdown"]
