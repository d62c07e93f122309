"""Loads and stores of assets: `flowstone.io.load.*` and `flowstone.io.store.*`."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone._metadata import described

from assay.telemetry import Span, span


def io_load(asset: str, io_manager: str, *, partition: str | None = None, run_id: str | None = None) -> Span:
    """Return the span of reading an asset; inside, set `measurements["size_bytes"]` if it is known.

    Args:
        asset: Name of the asset that is read.
        io_manager: Resource key of the IO manager.
        partition: Partition key.
        run_id: The run.
    """
    return span(
        "flowstone.io.load",
        **described(asset=asset, io_manager=io_manager, partition=partition, run_id=run_id),
    )


def io_store(asset: str, io_manager: str, *, partition: str | None = None, run_id: str | None = None) -> Span:
    """Return the span of writing an asset; inside, set `measurements["size_bytes"]` if it is known.

    Args:
        asset: Name of the asset that is written.
        io_manager: Resource key of the IO manager.
        partition: Partition key.
        run_id: The run.
    """
    return span(
        "flowstone.io.store",
        **described(asset=asset, io_manager=io_manager, partition=partition, run_id=run_id),
    )
