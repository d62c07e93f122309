"""Errors of the host, and the two exceptions with which an exporter answers a batch."""

from __future__ import annotations

from typing import Literal


class HostError(Exception):
    """Base of the errors that the host raises to its operator."""


class ConfigError(HostError):
    """The configuration is not valid: the message names the file, the key and the remedy."""


class StartError(HostError):
    """The host cannot start: a port is in use, or an exporter cannot be created."""


class Retry(Exception):  # noqa: N818  an answer that an exporter gives, named as it reads: raise Retry("disk full")
    """Raised by `export`: the batch cannot be exported now and must be sent again.

    The host answers HTTP 503, or 429 when `after` is given, with `Retry-After`; over gRPC UNAVAILABLE, or
    RESOURCE_EXHAUSTED with `RetryInfo`. A Collector keeps the batch in its queue.

    Args:
        reason: The cause. The sender reads it, so it must not contain secrets or payload.
        after: Seconds to wait before the next attempt; with None the sender decides.
    """

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.after = after


class Rejected(Exception):  # noqa: N818  an answer that an exporter gives, named as it reads: raise Rejected("…")
    """Raised by `export`: the batch is invalid, and every further attempt would fail too.

    The host answers HTTP 400, 409 or 413, over gRPC INVALID_ARGUMENT, ALREADY_EXISTS or
    RESOURCE_EXHAUSTED. Raise it only for a batch
    whose `peer` is "direct": a Collector drops a rejected batch that it has already accepted.

    Args:
        reason: The cause and the record concerned. The sender reads it, so it must not contain secrets.
        status: 400 for an invalid batch; 409 for a batch that contradicts stored data; 413 for a batch that
            is too long.
    """

    def __init__(self, reason: str, status: Literal[400, 409, 413] = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status: Literal[400, 409, 413] = status
