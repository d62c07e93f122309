"""The event `flowstone.error`, and the exceptions of this package."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import execute


class FlowstoneError(Exception):
    """Base of this package's exceptions."""


class ApprovalError(FlowstoneError):
    """The arguments of a checkpoint's request or decision do not make a record."""


def error(  # noqa: PLR0913 - the event has these values
    type: str,  # noqa: A002 - the event's name for it
    message: str,
    *,
    asset: str | None = None,
    partition: str | None = None,
    run_id: str | None = None,
    retryable: bool = False,
    subject: str | None = None,
    **metadata: object,
) -> None:
    """Emit an error.

    Args:
        type: Type of the error, such as `ConnectionError`; a label of the series.
        message: Message of the error.
        asset: The asset it concerns.
        partition: Partition key.
        run_id: The run.
        retryable: Whether it will be, or may be, tried again.
        subject: What it concerns, if not an asset, such as `sensor:new_files`: the series' label `asset`.
        metadata: Further metadata of the event, such as `origin`.
    """
    execute(
        "flowstone.error",
        None,
        described(
            type=type,
            message=message,
            asset=asset,
            partition=partition,
            run_id=run_id,
            retryable=retryable,
            subject=asset if subject is None else subject,
            **metadata,
        ),
    )
