"""Write text from outside to a log: escaped, so that it cannot imitate a line or steer a terminal, and short.

    logger.warning("rejected %s: %s", escaped(record_id), escaped(reason))

`EscapingFormatter` does the same for whole messages, so that it also covers the messages of libraries, and
`RepetitionFilter` limits how often one line of code logs.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from assay.endpoints import printable

CHARACTERS = 300
MESSAGE_CHARACTERS = 4000
TRACEBACK_CHARACTERS = 20_000


def escaped(text: object, at_most: int = CHARACTERS) -> str:
    """Return a text from outside for a log message.

    Control characters, line ends, bidirectional overrides and lone surrogates become escape sequences, and a
    backslash becomes two, so that the result is unambiguous.

    Args:
        text: The text, or an object whose `str` is the text.
        at_most: Maximum number of characters of the text; the rest is replaced with its length.
    """
    shown = str(text)
    rest = len(shown) - at_most
    shown = printable(shown[:at_most].replace("\\", "\\\\"))
    return f"{shown}… ({rest} more characters)" if rest > 0 else shown


class EscapingFormatter(logging.Formatter):
    """Formats each message on one line, without control characters, and bounds messages and tracebacks."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        """Return the formatted line."""
        shortened = record.message[:MESSAGE_CHARACTERS]
        rest = len(record.message) - len(shortened)
        record.message = printable(shortened) + (f"… ({rest} more characters)" if rest else "")
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: ANN401, N802  the base class's name
        """Return the traceback: its last part, each line without control characters."""
        text = super().formatException(ei)[-TRACEBACK_CHARACTERS:]
        return "\n".join(f"  {printable(line)}" for line in text.split("\n"))


class RepetitionFilter(logging.Filter):
    """Drops records of a line of code that logs more than `at_most` records in `seconds`.

    The next record that passes says how many were dropped.

    Args:
        at_most: Number of records in one period.
        seconds: Length of the period.
    """

    def __init__(self, at_most: int = 20, seconds: float = 10.0) -> None:
        super().__init__()
        self._at_most = at_most
        self._seconds = seconds
        self._lock = threading.Lock()
        self._periods: dict[tuple[str, int], tuple[float, int]] = {}  # start, number of records

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record passes."""
        place = record.pathname, record.lineno
        now = time.monotonic()
        with self._lock:
            start, count = self._periods.get(place, (now, 0))
            dropped = 0
            if now - start >= self._seconds:
                dropped = max(0, count - self._at_most)
                start, count = now, 0
            self._periods[place] = start, count + 1
        if dropped:
            record.msg = f"{record.getMessage()} ({dropped} similar messages were dropped)"
            record.args = None
        return count < self._at_most
