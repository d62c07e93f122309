"""Assets coming to be: `flowstone.materialization.*` and `flowstone.asset_check.evaluated`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.metadata import described

from assay.telemetry import Span, execute, span


def materialization(
    asset: str, *, partition: str | None = None, run_id: str | None = None, **metadata: object
) -> Span:
    """Return the span of one attempt to make an asset; a context manager and a decorator.

    Inside, set `measurements["result_size"]` (bytes) and, other than `success`, `metadata["status"]`. An
    exception that leaves the block ends it with `.exception` and goes on to the caller.

    Args:
        asset: Name of the asset; a label of the series.
        partition: Partition key.
        run_id: The run it belongs to; also its correlation id.
        metadata: Whatever else the events shall carry.
    """
    return span(
        "flowstone.materialization",
        **described(asset=asset, partition=partition, run_id=run_id, **metadata),
    )


def materialization_retry(
    asset: str,
    *,
    attempt: int,
    error_type: str | None = None,
    partition: str | None = None,
    run_id: str | None = None,
) -> None:
    """Tell that an attempt failed and the asset will be tried again.

    Args:
        asset: Name of the asset.
        attempt: Number of the attempt that failed; the first is 1.
        error_type: What it failed with.
        partition: Partition key.
        run_id: The run.
    """
    execute(
        "flowstone.materialization.retry",
        None,
        described(asset=asset, partition=partition, run_id=run_id, attempt=attempt, error_type=error_type),
    )


def asset_check(asset: str, check: str, *, passed: bool, run_id: str | None = None) -> None:
    """Tell that a check of an asset was evaluated.

    Args:
        asset: Name of the asset.
        check: Name of the check.
        passed: What came out.
        run_id: The run.
    """
    execute(
        "flowstone.asset_check.evaluated",
        None,
        described(asset=asset, check=check, passed=passed, run_id=run_id),
    )
