"""A forked child's metrics: they start empty, and no thread of the parent blocks them.

The SDK gives the child an instance id of its own, but the child inherits the parent's histograms. The sum
over both processes would contain the parent's measurements twice. The bridge resets its own sums.

The child also inherits the SDK's locks as they are. If the parent was sending metrics, which takes as long as
the Collector takes to answer, the child could never send its own.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import Any

_logger = logging.getLogger("assay.distro")


def install() -> None:
    """Reset the metrics of each child that is forked from now on."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=_reset)


def _reset() -> None:
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - imported by the set-up

    consumer: Any = getattr(get_meter_provider(), "_measurement_consumer", None)
    if consumer is None:
        return  # not the SDK's
    try:
        consumer._lock = threading.Lock()  # noqa: SLF001 - no public way to reset it, nor what follows
        for reader, storage in consumer._reader_storages.items():  # noqa: SLF001
            if hasattr(reader, "_export_lock"):  # the periodic reader's
                reader._export_lock = threading.Lock()  # noqa: SLF001
            storage._lock = threading.RLock()  # noqa: SLF001
            for matches in storage._instrument_view_instrument_matches.values():  # noqa: SLF001
                for match in matches:
                    match._lock = threading.Lock()  # noqa: SLF001
                    match._attributes_aggregation.clear()  # noqa: SLF001
    except AttributeError:
        _logger.warning(
            "this SDK's metrics cannot be reset after a fork: the child reports its parent's histograms too"
        )
