"""What went wrong: `flowstone.error`, and this package's own errors."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import execute


class FlowstoneError(Exception):
    """Base of this package's errors."""


class ApprovalError(FlowstoneError):
    """A checkpoint was asked for, or decided, in a way that makes no record."""


def error(  # noqa: PLR0913 - the seed's event has these
    type: str,  # noqa: A002 - the seed's name for it
    message: str,
    *,
    asset: str | None = None,
    partition: str | None = None,
    run_id: str | None = None,
    retryable: bool = False,
) -> None:
    """Tell of an error.

    Args:
        type: Its type, such as `ConnectionError`; a label of the series.
        message: What went wrong.
        asset: The asset it concerns.
        partition: Partition key.
        run_id: The run.
        retryable: Whether what failed will be, or may be, tried again.
    """
    execute(
        "flowstone.error",
        None,
        described(
            type=type, message=message, asset=asset, partition=partition, run_id=run_id, retryable=retryable
        ),
    )
