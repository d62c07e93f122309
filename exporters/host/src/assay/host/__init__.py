"""An OTLP server that hosts exporters written in Python behind a Collector.

    class Counter:
        signals = frozenset({"traces", "logs"})

        def export(self, batch: Batch) -> None:
            print(batch.signal, batch.request.ByteSize())

        def shutdown(self) -> None: ...

Named in the configuration as `type: my_package.my_module:Counter`, it gets every batch that a Collector sends.
"""

from assay.host.errors import ConfigError, HostError, Rejected, Retry, StartError
from assay.host.exporter import Batch, Encoding, Exporter, Peer, Request, Result, Signal

__all__ = [
    "Batch",
    "ConfigError",
    "Encoding",
    "Exporter",
    "HostError",
    "Peer",
    "Rejected",
    "Request",
    "Result",
    "Retry",
    "Signal",
    "StartError",
]
