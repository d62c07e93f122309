"""What an exporter is: the class that people write, and what the host gives to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

Signal: TypeAlias = Literal["traces", "metrics", "logs", "audit"]
Encoding: TypeAlias = Literal["protobuf", "json"]
Peer: TypeAlias = Literal["collector", "direct"]
Request: TypeAlias = ExportTraceServiceRequest | ExportMetricsServiceRequest | ExportLogsServiceRequest


@dataclass(frozen=True)
class Batch:
    """One export request, checked and parsed. Several exporters may hold the same one: do not change it.

    Attributes:
        signal: What it carries. An audit batch is an `ExportLogsServiceRequest`.
        request: The parsed request. None only for an exporter with `undecodable = True`, see `error`.
        payload: The bytes of the request as parsed, decompressed; of an undecodable batch whatever was
            received.
        encoding: What `payload` is written in.
        peer: Who sent it: a "collector", which drops what is refused for good, or a "direct" sender.
        received_unix_nano: When the host had all of it.
        error: Why `request` is None; else empty.
    """

    signal: Signal
    request: Request | None
    payload: bytes
    encoding: Encoding
    peer: Peer
    received_unix_nano: int
    error: str = ""


@dataclass(frozen=True)
class Result:
    """What an exporter has to say about a batch that it has accepted.

    Attributes:
        receipts: JSON-ready mappings, in the order of the records; they are sent back in a JSON answer.
    """

    receipts: Sequence[Mapping[str, Any]] = ()


@runtime_checkable
class Exporter(Protocol):
    """What an exporter class has to have.

    It is named by an entry point in the group `assay_exporter`, or in the configuration as `module:Class`.
    It is made and called on one thread of its own. Beside the three members below a class may have:

    - `class Settings(pydantic.BaseModel, extra="forbid")`: the exporter's section of the configuration is
      validated with it, and the class is called with the instance. Without it it is called with nothing.
    - `undecodable: ClassVar[bool] = True`: from a Collector it also gets batches that could not be parsed.
    - `def routes(self) -> Sequence[starlette.routing.Route]`: served, authenticated, on every HTTP listener.
      They run on the event loop, not on the exporter's thread.
    """

    signals: ClassVar[frozenset[Signal]]

    def export(self, batch: Batch) -> Result | None:
        """Take a batch; returning means that it is accepted and may be acknowledged.

        Called on the exporter's own thread, one batch at a time. The same batch may come again after a
        failure, a time-out or a restart of anybody: make it harmless.

        Raises:
            Retry: Not now; the sender tries again.
            Rejected: Never; only for `batch.peer == "direct"`.
            Exception: Anything else is counted, logged and answered as "try again".
        """
        ...

    def shutdown(self) -> None:
        """Close what is open. Called once, on the exporter's own thread, after its last batch."""
        ...
