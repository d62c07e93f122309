"""Delivery from the outbox: one thread a sink, so that a slow one delays no other."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections.abc import Callable
from itertools import islice
from time import monotonic, time

from assay.exporters.cdevents import instruments
from assay.exporters.cdevents.errors import DeliveryFailed, DeliveryRefused, SinkUnavailable
from assay.exporters.cdevents.outbox import Letter, Outbox
from assay.exporters.cdevents.sinks import Retries, Sink

_log = logging.getLogger("assay.cdevents")
_FETCH = 32
"""Letters in hand at once, unless the sink takes more: what a crash may make us send a second time."""
_CLOCK_CHECK = 5.0
"""Longest wait in one go, in seconds, so that a clock that is set does not stop deliveries."""


class Delivery:
    """Sends what the outbox holds for one sink, until it is stopped.

    A sink that is unavailable is left alone for a while; a letter that alone fails is tried again later, and
    what waits behind it for the same subject waits with it.

    Args:
        name: The sink's name in the outbox.
        sink: Where to.
        outbox: Where from.
        retries: When to try again, and when to give up.
    """

    def __init__(self, name: str, sink: Sink, outbox: Outbox, retries: Retries) -> None:
        self._name = name
        self._sink = sink
        self._outbox = outbox
        self._retries = retries
        self._failures = 0
        self._resume = 0.0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"cdevents {name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is something new in the outbox."""
        self._wake.set()

    def end(self) -> None:
        """Ask it to end after the letter in hand. What is left stays in the outbox."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait until it has ended, or `timeout` seconds, and close the sink."""
        self._thread.join(timeout)
        self._sink.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = self._round()
            except sqlite3.Error as error:
                _log.error("%s: the outbox fails: %s", self._name, error)
                wait = self._retries.initial
            except Exception:  # noqa: BLE001  a defect must not end deliveries for good
                _log.exception("%s: delivery fails", self._name)
                wait = self._retries.maximum
            if wait != 0:
                self._wake.wait(wait)

    def _round(self) -> float:
        """Send what is due, and return how many seconds to wait before the next round."""
        if (pause := self._resume - monotonic()) > 0:
            # New letters do not end the pause: only a stop does.
            self._stopping.wait(min(pause, _CLOCK_CHECK))
            return 0.0
        letters = self._outbox.due(self._name, max(_FETCH, self._sink.batch))
        if not letters:
            due = self._outbox.next_due(self._name)
            return _CLOCK_CHECK if due is None else min(max(due - time(), 0.001), _CLOCK_CHECK)
        self._send(letters)
        return 0.0

    def _send(self, letters: list[Letter]) -> None:
        """Send letters until the sink is unavailable; keep what was sent in one transaction."""
        done: list[Letter] = []
        failed: set[str] = set()
        waiting = iter(letters)
        try:
            while not self._stopping.is_set() and (batch := list(islice(waiting, self._sink.batch))):
                batch = [letter for letter in batch if letter.subject not in failed]
                if batch and not self._attempt(batch, done, failed):
                    break
        finally:
            if done:
                self._settle(lambda: self._outbox.sent(done))
                instruments.SENT.add(len(done), {"sink": self._name})

    def _attempt(self, batch: list[Letter], done: list[Letter], failed: set[str]) -> bool:
        """Send one batch; return whether the sink can take another."""
        first = batch[0]
        try:
            self._sink.send(batch)
        except SinkUnavailable as error:
            self._failures += 1
            wait = self._wait(self._failures) if error.after is None else error.after
            self._resume = monotonic() + wait
            self._put_off(first, str(error), time() + wait)
            return False
        except DeliveryFailed as error:
            failed.add(first.subject)
            self._put_off(first, str(error), time() + self._wait(first.attempts + 1))
        except DeliveryRefused as error:
            self._give_up(first, str(error))
        else:
            done += batch
        self._failures = 0
        return True

    def _put_off(self, letter: Letter, reason: str, due: float) -> None:
        if letter.attempts + 1 >= self._retries.attempts:
            self._give_up(letter, f"given up after {letter.attempts + 1} attempts: {reason}")
            return
        _log.warning("%s: %s %s is tried again: %s", self._name, letter.type, letter.id, reason)
        self._settle(lambda: self._outbox.later(letter, due))
        instruments.RETRIED.add(1, {"sink": self._name})

    def _give_up(self, letter: Letter, reason: str) -> None:
        _log.error("%s: %s %s is a dead letter: %s", self._name, letter.type, letter.id, reason)
        self._settle(lambda: self._outbox.dead(letter, reason))
        instruments.DEAD.add(1, {"sink": self._name})

    def _settle(self, write: Callable[[], None]) -> None:
        """Write what has happened; a disk that is full for a while must not make us send again at once."""
        while not self._written(write):
            if self._stopping.wait(self._retries.initial):
                return

    def _written(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except sqlite3.Error as error:
            _log.warning("%s: cannot write to the outbox: %s", self._name, error)
            return False
        return True

    def _wait(self, failures: int) -> float:
        """Exponential back-off with jitter: between half and all of the time."""
        most = min(self._retries.maximum, self._retries.initial * 2.0 ** min(failures - 1, 32))
        return most * random.uniform(0.5, 1.0)  # noqa: S311  jitter is no secret
