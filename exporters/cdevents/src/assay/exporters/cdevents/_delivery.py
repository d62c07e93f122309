"""Deliver events from the outbox, on one thread for each sink, so that a slow sink delays no other."""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections.abc import Callable
from itertools import islice
from time import monotonic

from assay.exporters.cdevents import _metrics
from assay.exporters.cdevents._clock import now
from assay.exporters.cdevents._outbox import DeliveryOutbox, OutboxEntry
from assay.exporters.cdevents._sinks import Retries, Sink
from assay.exporters.cdevents.errors import DeliveryFailed, DeliveryRefused, SinkUnavailable
from assay.host.escaping import escaped

_log = logging.getLogger("assay.cdevents")
_FETCH = 32
"""Minimum number of entries fetched at once; after a crash at most the fetched entries are sent again."""
_CLOCK_CHECK = 5.0
"""Maximum length of one wait in seconds: another process may have revived dead letters."""


class SinkDelivery:
    """Sends the outbox's entries for one sink until it is stopped.

    While a sink is unavailable it gets no entries. An entry that fails alone is sent again later, and the
    later entries of the same subject wait for it.

    Args:
        name: The sink's name in the outbox.
        sink: The sink to send to.
        outbox: The outbox to read from.
        retries: When to try again, and when to give up.
    """

    def __init__(self, name: str, sink: Sink, outbox: DeliveryOutbox, retries: Retries) -> None:
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
        """Start the thread."""
        self._thread.start()

    def wake(self) -> None:
        """Signal that the outbox has new entries."""
        self._wake.set()

    def stop(self) -> None:
        """Ask the thread to end after the current entry. The outbox keeps the others."""
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread at most `timeout` seconds, then close the sink."""
        self._thread.join(timeout)
        self._sink.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = self._send_due()
            except sqlite3.Error as error:
                _log.error("%s: cannot read the outbox: %s", self._name, error)
                wait = self._retries.initial
            except Exception:  # noqa: BLE001  a defect must not end deliveries permanently
                _log.exception("%s: delivery failed", self._name)
                wait = self._retries.maximum
            if wait != 0:
                self._wake.wait(wait)

    def _send_due(self) -> float:
        """Send the entries that are due, and return the seconds until the next check."""
        if (pause := self._resume - monotonic()) > 0:
            # Only a stop ends the pause; new entries do not.
            self._stopping.wait(min(pause, _CLOCK_CHECK))
            return 0.0
        entries = self._outbox.due(self._name, max(_FETCH, self._sink.batch))
        if not entries:
            due = self._outbox.next_due(self._name)
            return _CLOCK_CHECK if due is None else min(max(due - now(), 0.001), _CLOCK_CHECK)
        self._send(entries)
        return 0.0

    def _send(self, entries: list[OutboxEntry]) -> None:
        """Send entries until the sink is unavailable; mark those sent in one transaction."""
        sent: list[OutboxEntry] = []
        failed_subjects: set[str] = set()
        waiting = iter(entries)
        try:
            while not self._stopping.is_set() and (batch := list(islice(waiting, self._sink.batch))):
                batch = [entry for entry in batch if entry.subject not in failed_subjects]
                if batch and not self._attempt(batch, sent, failed_subjects):
                    break
        finally:
            if sent:
                self._write(lambda: self._outbox.mark_sent(sent))
                _metrics.SENT.add(len(sent), {"sink": self._name})

    def _attempt(self, batch: list[OutboxEntry], sent: list[OutboxEntry], failed_subjects: set[str]) -> bool:
        """Send one batch, and return whether the sink can accept another."""
        first = batch[0]
        try:
            self._sink.send(batch)
        except SinkUnavailable as error:
            self._failures += 1
            wait = self._backoff(self._failures) if error.after is None else error.after
            self._resume = monotonic() + wait
            self._postpone(first, str(error), now() + wait)
            return False
        except DeliveryFailed as error:
            failed_subjects.add(first.subject)
            self._postpone(first, str(error), now() + self._backoff(first.attempts + 1))
        except DeliveryRefused as error:
            failed_subjects.add(first.subject)
            self._postpone(first, str(error), now() + self._backoff(first.attempts + 1), refused=True)
        else:
            sent += batch
        self._failures = 0
        return True

    def _postpone(self, entry: OutboxEntry, reason: str, due: float, *, refused: bool = False) -> None:
        attempts = min(self._retries.attempts, self._retries.refusals if refused else self._retries.attempts)
        if entry.attempts + 1 >= attempts:
            self._give_up(entry, f"given up after {entry.attempts + 1} attempts: {reason}")
            return
        _log.warning("%s: %s %s will be sent again: %s", self._name, escaped(entry.type), entry.id, reason)
        self._write(lambda: self._outbox.postpone(entry, due))
        _metrics.RETRIED.add(1, {"sink": self._name})

    def _give_up(self, entry: OutboxEntry, reason: str) -> None:
        _log.error("%s: %s %s is a dead letter: %s", self._name, escaped(entry.type), entry.id, reason)
        self._write(lambda: self._outbox.mark_dead(entry, reason))
        _metrics.DEAD.add(1, {"sink": self._name})

    def _write(self, write: Callable[[], None]) -> None:
        """Write a result to the outbox, and repeat until it succeeds.

        A disk that is full for a while must not cause the same entry to be sent again at once.
        """
        while not self._try_write(write):
            if self._stopping.wait(self._retries.initial):
                return

    def _try_write(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except sqlite3.Error as error:
            _log.warning("%s: cannot write to the outbox: %s", self._name, error)
            return False
        return True

    def _backoff(self, failures: int) -> float:
        """Return the seconds to wait: exponential back-off with jitter, between half and all of the time."""
        longest = min(self._retries.maximum, self._retries.initial * 2.0 ** min(failures - 1, 32))
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  jitter need not be secure
