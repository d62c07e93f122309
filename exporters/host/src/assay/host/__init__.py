"""Host exporters written in Python behind an OpenTelemetry Collector.

    class Counter:
        signals = frozenset({"traces", "logs"})

        def export(self, batch: Batch) -> None:
            print(batch.signal, batch.request.ByteSize())

        def shutdown(self) -> None: ...

Name the class in the configuration as `type: my_package.my_module:Counter`; the host then calls `export` with
every batch that a Collector sends:

    Host(load_config("host.yaml")).run()
"""

from assay.host._config import load_config
from assay.host._fields import Address, Secret
from assay.host._host import Host
from assay.host._settings import HostConfig, LimitSettings
from assay.host.errors import ConfigError, HostError, Rejected, Retry, StartError
from assay.host.exporter import Batch, Encoding, Exporter, Peer, Request, Result, Signal

__all__ = [
    "Address",
    "Batch",
    "ConfigError",
    "Encoding",
    "Exporter",
    "Host",
    "HostConfig",
    "HostError",
    "LimitSettings",
    "Peer",
    "Rejected",
    "Request",
    "Result",
    "Retry",
    "Secret",
    "Signal",
    "StartError",
    "load_config",
]
