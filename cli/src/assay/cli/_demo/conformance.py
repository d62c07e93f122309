"""Count the demo's CDEvents that are not valid."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from assay.cli._folder import Folder
from assay.exporters.cdevents.documents import validate


def count_invalid(folder: Folder) -> int:
    """Return the number of invalid events in the file, plus the events that the exporter did not send."""
    sent = 0
    if folder.cdevents.exists():
        sent = sum(not checked.event for checked in validate(folder.cdevents.read_text(encoding="utf-8")))
    with closing(sqlite3.connect(f"file:{folder.cdevents_outbox}?mode=ro", uri=True)) as outbox:
        (unsent,) = outbox.execute("SELECT count(*) FROM delivery WHERE state = 'dead'").fetchone()
    return sent + int(unsent)
