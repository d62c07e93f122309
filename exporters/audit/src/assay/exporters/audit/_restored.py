"""Restore the state of producers' chains from the newest records of a log, when a sink starts."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import orjson

from assay.exporters.audit._arrivals import Arrivals
from assay.exporters.audit._errors import AuditLogError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._sequence import Sequenced, sequenced
from assay.exporters.audit._storage import newest_records, open_read_only

logger = logging.getLogger(__name__)

_RECORDS = 20_000  # of the end of the log, which are read in a fraction of a second


def restore(arrivals: Arrivals, database: Location) -> None:
    """Read the newest records of a log into the state of the chains.

    It raises nothing: `assay audit verify` finds a damaged record, and the sink must accept others.
    """
    try:
        with closing(open_read_only(database)) as connection:
            first, rows = newest_records(connection, _RECORDS)
            arrivals.restore(_links(rows), time.time_ns(), whole_log=first == 0)
    except (sqlite3.Error, AuditLogError) as error:
        logger.warning("the chains of producers are not known: %s", error)


def _links(rows: Iterator[tuple[str, bytes]]) -> Iterator[tuple[Sequenced, int]]:
    for leaf, integrity_hash in rows:
        with suppress(ValueError, LookupError, TypeError, AttributeError):  # of a row that was changed
            content = orjson.loads(leaf)
            link = sequenced(content["record"], content["resource"]["attributes"], integrity_hash)
            if link is not None:
                yield link, int(content["sinkTimeUnixNano"])
