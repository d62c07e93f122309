"""The metrics of a forked child start empty: its parent exports what it has measured before the fork.

The SDK gives the child an instance id of its own, but the child inherits the parent's histograms. The sum
over both processes would contain the parent's measurements twice. The bridge resets its own sums.
"""

from __future__ import annotations

import logging
import os
from typing import Any

_logger = logging.getLogger("assay.distro")


def install() -> None:
    """Forget the parent's measurements in each child that is forked from now on."""
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - imported by the set-up

    consumer: Any = getattr(get_meter_provider(), "_measurement_consumer", None)
    if consumer is None:
        return  # not the SDK's
    try:
        for storage in consumer._reader_storages.values():  # noqa: SLF001 - no public way to reset them
            for matches in storage._instrument_view_instrument_matches.values():  # noqa: SLF001 - as above
                for match in matches:
                    match._attributes_aggregation.clear()  # noqa: SLF001 - as above
    except AttributeError:
        _logger.warning(
            "this SDK's metrics cannot be reset after a fork: the child reports its parent's histograms too"
        )
