"""An OTLP server that hosts exporters written in Python behind a Collector.

    class Counter:
        signals = frozenset({"traces", "logs"})

        def export(self, batch: Batch) -> None:
            print(batch.signal, batch.request.ByteSize())

        def shutdown(self) -> None: ...

Named in the configuration as `type: my_package.my_module:Counter`, it gets every batch that a Collector
sends:

    Host(load_config("host.yaml")).run()
"""

from assay.host.config import load_config
from assay.host.errors import ConfigError, HostError, Rejected, Retry, StartError
from assay.host.exporter import Batch, Encoding, Exporter, Peer, Request, Result, Signal
from assay.host.host import Host
from assay.host.settings import HostConfig

__all__ = [
    "Batch",
    "ConfigError",
    "Encoding",
    "Exporter",
    "Host",
    "HostConfig",
    "HostError",
    "Peer",
    "Rejected",
    "Request",
    "Result",
    "Retry",
    "Signal",
    "StartError",
    "load_config",
]
