"""The service: it answers each request once, whatever its workers do."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path

from journal import Journal
from worker import Classified, Picture, classify, classify_with_leak

ATTEMPTS = 2
"""How often a picture is tried whose worker was lost."""
POLL_SECONDS = 0.05
WHOLE_SECONDS = 60.0


class InferenceService:
    """Classifies pictures in worker processes.

    Args:
        journal: Records what the pools do.
        workers: Number of worker processes.
        patience: Seconds that a worker may take for a picture before it is killed.
    """

    def __init__(self, journal: Journal, *, workers: int = 2, patience: float = 5.0) -> None:
        self._journal = journal
        self._workers = workers
        self._patience = patience
        self._context = multiprocessing.get_context("spawn")
        self._working = tempfile.TemporaryDirectory()
        self._executor = self._new_executor()

    def answer(self, pictures: Sequence[Picture]) -> list[str]:
        """Return the labels of pictures that are classified at the same time; `failed` for a picture without.

        If a worker is lost, the pictures that have no answer are tried again, one by one.
        """
        answers = self._try(pictures)
        for _ in range(1, ATTEMPTS):
            for position, picture in enumerate(pictures):
                if answers[position] is None:
                    (answers[position],) = self._try([picture])
        return [answer or "failed" for answer in answers]

    def score(self, pictures: Sequence[Picture], *, tasks_per_worker: int) -> list[Classified]:
        """Return the labels of an archive. The function leaks memory, so each worker is soon replaced."""
        with self._context.Pool(self._workers, maxtasksperchild=tasks_per_worker) as pool:
            scored = pool.map(classify_with_leak, pictures, chunksize=1)
            self._journal.add_scored(scored, tasks_per_worker)
            self._wait_until_whole()
            pool.close()
            pool.join()
        return scored

    def close(self, waiting: Sequence[Picture]) -> None:
        """Shut down while pictures wait; those that no worker has begun are cancelled."""
        for picture in waiting:
            self._submit(picture)
        self._executor.shutdown(cancel_futures=True)
        self._working.cleanup()

    def _try(self, pictures: Sequence[Picture]) -> list[str | None]:
        """Return the labels; None for each picture whose worker was lost."""
        futures = [self._submit(picture) for picture in pictures]
        submitted = [future for future in futures if future is not None]
        while wait(submitted, timeout=POLL_SECONDS).not_done:
            self._kill_hanging_workers()
        answers = [self._answer_of(future) for future in futures]
        if None in answers:
            self._restart()
        return answers

    def _restart(self) -> None:
        """Replace the executor, which does not recover from the loss of a worker."""
        self._executor.shutdown()
        for mark in Path(self._working.name).iterdir():
            mark.unlink()  # of a worker that has ended; another process may get its id
        self._executor = self._new_executor()

    def _submit(self, picture: Picture) -> Future[Classified] | None:
        """Submit a picture; return None if the pool is broken."""
        try:
            future = self._executor.submit(classify, picture, self._working.name)
        except BrokenProcessPool as error:
            self._journal.add_refused(error)
            return None
        future.add_done_callback(self._journal.add)
        self._journal.see(multiprocessing.active_children())
        return future

    @staticmethod
    def _answer_of(future: Future[Classified] | None) -> str | None:
        """Return the label, `rejected` for a bad picture, or None if the worker was lost."""
        if future is None:
            return None
        try:
            return future.result().label
        except BrokenProcessPool:
            return None
        except (ValueError, MemoryError):
            return "rejected"

    def _kill_hanging_workers(self) -> None:
        for mark in Path(self._working.name).iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just finished
                if time.time() - mark.stat().st_mtime > self._patience:
                    mark.unlink()
                    os.kill(int(mark.name), signal.SIGKILL)

    def _wait_until_whole(self) -> None:
        """Wait until the pool has replaced the workers that have run as many tasks as they may."""
        deadline = time.monotonic() + WHOLE_SECONDS
        while len(self._journal.unspent(_process_ids())) < self._workers and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)

    def _new_executor(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, mp_context=self._context)


def _process_ids() -> set[int]:
    children: list[BaseProcess] = multiprocessing.active_children()
    return {child.pid for child in children if child.pid is not None}
