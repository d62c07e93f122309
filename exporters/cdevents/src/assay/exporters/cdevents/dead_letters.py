"""Send dead letters again.

replay(Path("cdevents.db"))  # the host may be running; it sends them within seconds
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from assay.exporters.cdevents._outbox import DeliveryOutbox
from assay.exporters.cdevents.errors import CDEventsError


def replay(outbox: Path, *, sink: str | None = None) -> int:
    """Make the dead letters of an outbox pending, and return how many.

    Events that are not valid stay dead letters, because they cannot be sent.

    Args:
        outbox: The exporter's outbox; a running exporter may have it open.
        sink: Name of the sink whose dead letters are meant; None for all.

    Raises:
        CDEventsError: The file does not exist or is not an outbox, or it cannot be written.
    """
    if not outbox.is_file():
        raise CDEventsError(f"{outbox}: no such file; name the file of the exporter's setting `outbox`")
    try:
        with closing(DeliveryOutbox(outbox)) as box:
            return box.revive(sink)
    except (OSError, sqlite3.Error) as error:
        raise CDEventsError(f"{outbox}: the outbox cannot be changed: {error}") from error
