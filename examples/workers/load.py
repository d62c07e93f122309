"""Send a load to the service in which workers crash, hang, run out of memory, leak and are replaced.

Prints one JSON object: what the pools did (see `journal.py`), and how many answers were right.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace

from journal import Journal
from model import FEATURES, label
from service import InferenceService
from worker import Picture

DEFECTS = {5: "corrupt", 12: "bomb", 19: "endless", 26: "huge", 29: "truncated"}
"""The formats of pictures, by number, in which the decoder has a defect."""
PICTURES = 40
ARCHIVE = 14
WAITING = 8
TASKS_PER_WORKER = 4
WORKERS = 2


def pictures(first: int, number: int) -> list[Picture]:
    """Return pictures with the same content at each call."""
    return [
        Picture(
            each,
            [random.Random(each + place).uniform(-1, 1) for place in range(FEATURES)],
            DEFECTS.get(each, "plain"),
        )
        for each in range(first, first + number)
    ]


def expected(picture: Picture) -> str:
    """Return the right answer."""
    if picture.format == "plain":
        return label(picture.features)
    return "rejected" if picture.format in {"huge", "truncated"} else "failed"


def main() -> None:
    """Send the load."""
    journal = Journal()
    service = InferenceService(journal, workers=WORKERS)
    sent = pictures(0, PICTURES)
    answers = [
        answer
        for start in range(0, PICTURES, WORKERS)
        for answer in service.answer(sent[start : start + WORKERS])
    ]
    # Large ones, so that some still wait when the service closes.
    service.close([replace(each, format="large") for each in pictures(PICTURES, WAITING)])
    archive = pictures(PICTURES + WAITING, ARCHIVE)
    scored = service.score(archive, tasks_per_worker=TASKS_PER_WORKER)
    right = sum(answer == expected(picture) for answer, picture in zip(answers, sent, strict=True))
    right += sum(each.label == expected(picture) for each, picture in zip(scored, archive, strict=True))
    print(json.dumps({**journal.report(), "sent": len(sent) + len(archive), "right": right}))


if __name__ == "__main__":
    main()
