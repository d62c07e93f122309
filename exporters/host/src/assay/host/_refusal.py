"""Refusals: the error responses of both protocols, in one form.

Sources: OTLP 1.9, "OTLP/HTTP Response" and "OTLP/gRPC Throttling"; google.rpc.Status and RetryInfo.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

# 413 and 429 share RESOURCE_EXHAUSTED: without RetryInfo it is permanent, with RetryInfo it is retryable.
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
RETRYABLE = frozenset({429, 503})
RETRY_SECONDS = 1.0


@dataclass
class Refusal(Exception):  # noqa: N818  an answer, not a failure of the host
    """An error response to a sender.

    Attributes:
        status: The HTTP status; `code` is the matching gRPC status.
        reason: The cause and the remedy, without payload or secrets.
        after: Seconds to wait before the next attempt; always set for 429 and 503.
    """

    status: int
    reason: str
    after: float | None = None

    def __post_init__(self) -> None:
        super().__init__(self.reason)
        if self.after is None and self.status in RETRYABLE:
            self.after = RETRY_SECONDS

    @property
    def code(self) -> StatusCode:
        """The matching gRPC status code."""
        return CODES[self.status]

    @property
    def headers(self) -> dict[str, str]:
        """The HTTP headers of the response."""
        headers: dict[str, str] = {}
        if self.after is not None:
            headers["retry-after"] = str(max(1, math.ceil(self.after)))
        if self.status == 401:  # noqa: PLR2004  RFC 9110 section 11.6.1
            headers["www-authenticate"] = 'Bearer realm="assay"'
        return headers

    def proto(self) -> Status:
        """Return the response body over HTTP, which is also `grpc-status-details-bin` over gRPC."""
        number: int = self.code.value[0]  # pyright: ignore  (grpcio has no types)
        status = Status(code=number, message=self.reason)
        if self.after is not None:
            nanos = round(self.after * 1e9)
            delay = Duration(seconds=nanos // 1_000_000_000, nanos=nanos % 1_000_000_000)
            status.details.add().Pack(RetryInfo(retry_delay=delay))
        return status

    def retryable(self) -> Refusal:
        """Return the refusal as 503 if it is permanent: a Collector would drop the batch otherwise."""
        if self.status in RETRYABLE:
            return self
        return Refusal(
            503, f"{self.reason} (HTTP {self.status}, sent as 503 so that the Collector keeps the batch)"
        )


def unexpected(error: Exception) -> Refusal:
    """Return the refusal that reports a defect of the host.

    It is 503, because a Collector drops a batch at 500 or UNKNOWN.
    """
    return Refusal(503, f"the host failed ({type(error).__name__}): send again; see the host's log")


@dataclass
class Undecodable(Refusal):
    """The body is not an OTLP request, or it exceeds a limit.

    Attributes:
        payload: The bytes as received, for an exporter that stores undecodable batches.
    """

    payload: bytes = b""
