"""The code that runs in the workers: a decoder of pictures with defects, and the model behind it."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from model import label

MEGABYTE = 1 << 20
PETABYTE = 1 << 50
LARGE_SECONDS = 0.5


@dataclass(frozen=True)
class Picture:
    """A picture.

    Args:
        number: Its number.
        features: Its content.
        format: How it is encoded; the decoder has a defect in each format but `plain` and `large`.
    """

    number: int
    features: list[float]
    format: str = "plain"


class Classified(NamedTuple):
    """The label of a picture, and the process that found it."""

    label: str
    process_id: int


_leaked: list[bytearray] = []


def classify(picture: Picture, working: str) -> Classified:
    """Return the label of a picture.

    Args:
        picture: The picture.
        working: A folder; while this worker decodes, it has a file with the worker's process id as its name.

    Raises:
        ValueError: The picture has the wrong number of features.
        MemoryError: It is too large.
    """
    mark = Path(working, str(os.getpid()))
    mark.touch()
    try:
        return Classified(label(_decode(picture)), os.getpid())
    finally:
        mark.unlink(missing_ok=True)


def classify_with_leak(picture: Picture) -> Classified:
    """Return the label of a picture; the worker keeps a megabyte of each picture for ever."""
    _leaked.append(bytearray(MEGABYTE))
    return Classified(label(picture.features), os.getpid())


def _decode(picture: Picture) -> list[float]:
    """Return the features of a picture, as a native decoder does that was never fuzzed."""
    if picture.format == "corrupt":
        os._exit(3)  # what an assertion of a native library does
    if picture.format == "bomb":
        os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does when memory runs out
    if picture.format == "endless":
        time.sleep(3600)
    if picture.format == "huge":
        np.empty(PETABYTE, dtype=np.uint8)
    if picture.format == "large":
        time.sleep(LARGE_SECONDS)
    if picture.format == "truncated":
        return picture.features[:-1]
    return picture.features
