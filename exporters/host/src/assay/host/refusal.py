"""Every answer but success, once, for both protocols.

Sources: OTLP 1.9, "OTLP/HTTP Response" and "OTLP/gRPC Throttling"; google.rpc.Status and RetryInfo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

# RESOURCE_EXHAUSTED without RetryInfo means "for good", with it "later": 413 and 429.
CODES = {
    400: StatusCode.INVALID_ARGUMENT,
    401: StatusCode.UNAUTHENTICATED,
    403: StatusCode.PERMISSION_DENIED,
    404: StatusCode.NOT_FOUND,
    405: StatusCode.UNIMPLEMENTED,
    408: StatusCode.DEADLINE_EXCEEDED,
    409: StatusCode.ALREADY_EXISTS,
    413: StatusCode.RESOURCE_EXHAUSTED,
    415: StatusCode.UNIMPLEMENTED,
    429: StatusCode.RESOURCE_EXHAUSTED,
    503: StatusCode.UNAVAILABLE,
}
LATER = frozenset({429, 503})
RETRY_SECONDS = 1.0


@dataclass
class Refusal(Exception):  # noqa: N818  an answer, not a failure of the host
    """What a sender is told instead of success.

    Attributes:
        status: The HTTP status; `code` is its gRPC equal.
        reason: What is wrong and what to do, without payload or secrets.
        after: Seconds to wait; 429 and 503 always give some.
    """

    status: int
    reason: str
    after: float | None = None

    def __post_init__(self) -> None:
        super().__init__(self.reason)
        if self.after is None and self.status in LATER:
            self.after = RETRY_SECONDS

    @property
    def code(self) -> StatusCode:
        """The gRPC status code."""
        return CODES[self.status]

    @property
    def headers(self) -> dict[str, str]:
        """HTTP headers that belong to the answer."""
        headers: dict[str, str] = {}
        if self.after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.after)))
        if self.status == 401:  # noqa: PLR2004  RFC 9110 section 11.6.1
            headers["www-authenticate"] = 'Bearer realm="assay"'
        return headers

    def proto(self) -> Status:
        """The body of the answer over HTTP, and `grpc-status-details-bin` over gRPC."""
        number: int = self.code.value[0]  # pyright: ignore  (grpcio has no types)
        status = Status(code=number, message=self.reason)
        if self.after is not None:
            nanos = round(self.after * 1e9)
            delay = Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status

    def kept(self) -> Refusal:
        """The same said so that a Collector keeps the batch: it drops what is refused for good."""
        if self.status in LATER:
            return self
        return Refusal(
            503, f"{self.reason} (HTTP {self.status}, told as 503 so that the Collector keeps the batch)"
        )


def unexpected(error: Exception) -> Refusal:
    """What is told after a mistake of the host's own; at a 500 or UNKNOWN a Collector drops the batch."""
    return Refusal(503, f"the host failed ({type(error).__name__}): send again; its log says where")


@dataclass
class Undecodable(Refusal):
    """The bytes are no OTLP request, or one beyond the limits.

    Attributes:
        payload: What was received, for an exporter that keeps such things.
    """

    payload: bytes = b""
