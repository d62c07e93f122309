"""Materializations and checks: `flowstone.materialization.*` and `flowstone.asset_check.evaluated`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import Span, execute, span


def materialization(
    asset: str, *, partition: str | None = None, run_id: str | None = None, **metadata: object
) -> Span:
    """Return the span of one attempt to make an asset; a context manager and a decorator.

    Inside, set `measurements["result_size"]` (bytes) and, if it is not `success`, `metadata["status"]`. An
    exception ends the span with `.exception` and propagates.

    Args:
        asset: Name of the asset; a label of the series.
        partition: Partition key.
        run_id: The run it belongs to; also its correlation id.
        metadata: Further metadata of the events.
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
    """Emit that an attempt failed and the asset will be tried again.

    Args:
        asset: Name of the asset.
        attempt: Number of the attempt that failed; the first is 1.
        error_type: Type of its error.
        partition: Partition key.
        run_id: The run.
    """
    execute(
        "flowstone.materialization.retry",
        None,
        described(asset=asset, partition=partition, run_id=run_id, attempt=attempt, error_type=error_type),
    )


def asset_check(asset: str, check: str, *, passed: bool, run_id: str | None = None) -> None:
    """Emit the result of an asset check.

    Args:
        asset: Name of the asset.
        check: Name of the check.
        passed: The result.
        run_id: The run.
    """
    execute(
        "flowstone.asset_check.evaluated",
        None,
        described(asset=asset, check=check, passed=passed, run_id=run_id),
    )
