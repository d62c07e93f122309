"""What goes wrong in the host itself, and the two answers an exporter may give instead of a result."""

from __future__ import annotations

from typing import Literal


class HostError(Exception):
    """Base of every error that the host raises to the one who runs it."""


class ConfigError(HostError):
    """The configuration does not hold: the message names the file, the key and what to write instead."""


class StartError(HostError):
    """The host cannot start: a port is in use, or an exporter fails to open."""


class Retry(Exception):  # noqa: N818  an answer that an exporter gives, named as it reads: raise Retry("disk full")
    """Raised by `export`: not now, send the batch again.

    Answered as HTTP 503, or 429 when `after` is given, with `Retry-After`; over gRPC as UNAVAILABLE, or
    RESOURCE_EXHAUSTED with `RetryInfo`. A Collector keeps the batch in its queue.

    Args:
        reason: What is wrong, for the sender to read: no secrets, no payload.
        after: Seconds to wait before the next try; None leaves it to the sender.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Rejected(Exception):  # noqa: N818  an answer that an exporter gives, named as it reads: raise Rejected("…")
    """Raised by `export`: the batch is wrong and will be wrong again.

    Answered as HTTP 400 or 409, over gRPC as INVALID_ARGUMENT or ALREADY_EXISTS. Only for a batch whose
    `peer` is "direct": a Collector would drop what it has accepted.

    Args:
        reason: What is wrong and in which record, for the sender to read: no secrets.
        status: 400, wrong in itself; 409, at odds with what is stored.
    """

    def __init__(self, reason: str, status: Literal[400, 409] = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status: Literal[400, 409] = status
