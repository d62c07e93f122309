"""Whether every CDEvent of the demo is one: those that were sent, and those that were not."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from assay.cli._stack import Folder
from assay.exporters.cdevents.documents import validate


def invalid(folder: Folder) -> int:
    """Return how many events of the file are no CDEvents, and how many the exporter held back."""
    sent = 0
    if folder.cdevents.exists():
        sent = sum(not checked.event for checked in validate(folder.cdevents.read_text(encoding="utf-8")))
    with closing(sqlite3.connect(f"file:{folder.outbox}?mode=ro", uri=True)) as outbox:
        (held_back,) = outbox.execute("SELECT count(*) FROM delivery WHERE state = 'dead'").fetchone()
    return sent + int(held_back)
