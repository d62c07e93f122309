"""The interface of an exporter, and the batch that the host passes to it."""

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
    """One export request, authenticated and parsed. Several exporters may share it: do not change it.

    Attributes:
        signal: The signal of the request. An audit batch is an `ExportLogsServiceRequest`.
        request: The parsed request. None only for an exporter with `undecodable = True`, see `error`.
        payload: The decompressed bytes that `request` was parsed from; for an undecodable batch the bytes as
            received.
        encoding: Encoding of `payload`.
        peer: The kind of sender: "collector", which drops a rejected batch, or "direct".
        received_unix_nano: When the host had received the whole request, in Unix nanoseconds.
        error: Why `request` is None; empty otherwise.
        memory: The most bytes that the batch takes in memory; 0 stands for the length of the payload.
    """

    signal: Signal
    request: Request | None
    payload: bytes
    encoding: Encoding
    peer: Peer
    received_unix_nano: int
    error: str = ""
    memory: int = 0


@dataclass(frozen=True)
class Result:
    """The return value of an exporter for a batch that it has accepted.

    Attributes:
        receipts: JSON-ready mappings, in the order of the records. The host returns them in a JSON response.
    """

    receipts: Sequence[Mapping[str, Any]] = ()


@runtime_checkable
class Exporter(Protocol):
    """The members of an exporter class.

    An entry point in the group `assay_exporter` names the class, or the configuration does, as
    `module:Class`. The host creates and calls the exporter on one thread that belongs to it alone. Besides
    the three members below a class may have:

    - `class Settings(pydantic.BaseModel, extra="forbid")`: the host validates the exporter's section of the
      configuration with it and calls the class with the instance. Without `Settings` the host calls the class
      without arguments.
    - `undecodable: ClassVar[bool] = True`: the exporter also gets batches from a Collector that cannot be
      parsed.
    - `def routes(self) -> Sequence[starlette.routing.Route]`: routes that every HTTP listener serves, behind
      its authentication. They run on the event loop, not on the exporter's thread.
    - `def problem(self) -> str`: what an operator must know although the exporter accepts batches, or an
      empty string. The health endpoint shows it as a warning. It runs on the event loop and must not wait.
    """

    signals: ClassVar[frozenset[Signal]]

    def export(self, batch: Batch) -> Result | None:
        """Accept a batch: when this returns, the host acknowledges the batch.

        The host calls this on the exporter's own thread, one batch at a time. After a failure, a timeout or a
        restart on either side the same batch may arrive again: exporting it twice must do no harm.

        Raises:
            Retry: The sender must try again later.
            Rejected: The sender must not try again; only for `batch.peer == "direct"`.
            Exception: The host counts and logs any other exception and asks the sender to try again.
        """
        ...

    def shutdown(self) -> None:
        """Close open resources. The host calls this once, on the exporter's thread, after the last batch."""
        ...
