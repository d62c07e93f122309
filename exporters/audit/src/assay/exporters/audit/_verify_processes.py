"""Check the parts of a log in several processes; the results come in the order of the parts.

This process checks parts too. Each other process opens the log by itself, so they share no connection. A
process ends when its pipe is closed, also if this one was killed.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Generator, Iterable
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait

from assay.exporters.audit._errors import AuditLogError, OpenError
from assay.exporters.audit._postgresql_address import Location
from assay.exporters.audit._storage import Reader, archived_end, open_read_only
from assay.exporters.audit._verify_ranges import RangeChecker, Result, Task

_AHEAD = 4  # tasks that a process has, so that it never waits for this one
_WINDOW = 64  # tasks that are given out while the result of the first one is missing


@dataclass(frozen=True, slots=True)
class Source:
    """Where a process reads the log.

    Args:
        database: The log's database.
        state: Name of the state that all processes see; empty if the store has no such names.
        archived: The first leaf that is not archived.
    """

    database: Location
    state: str
    archived: int


def checked(
    tasks: Iterable[Task], checker: RangeChecker, source: Source, processes: int
) -> Generator[Result]:
    """Yield the results of tasks, in their order.

    Args:
        tasks: The tasks.
        checker: That of this process.
        source: Where the other processes read the log.
        processes: Number of processes, this one included.

    Raises:
        OpenError: The log cannot be read, or a process ended.
    """
    with ExitStack() as started:
        children: list[_Child] = []
        for _ in range(processes - 1):
            children.append(_Child(checker, source))
            started.callback(children[-1].end)
        yield from _results(tasks, checker, children)


def _results(tasks: Iterable[Task], checker: RangeChecker, children: list[_Child]) -> Generator[Result]:
    numbered, given, due = enumerate(tasks), 0, 0  # due: the number of the next result
    done: dict[int, Result] = {}

    def take() -> tuple[int, Task] | None:
        nonlocal given
        task = next(numbered, None) if given - due < _WINDOW else None
        given += task is not None
        return task

    while True:
        for child in children:
            while child.tasks < _AHEAD and (task := take()) is not None:
                child.give(*task)
        done.update(_received(children, timeout=0))
        if due in done:
            yield done.pop(due)
            due += 1
        elif (task := take()) is not None:
            number, own = task
            done[number] = checker.check(own)
        elif any(child.tasks for child in children):
            done.update(_received(children, timeout=None))
        else:
            return


def _received(children: list[_Child], timeout: float | None) -> list[tuple[int, Result]]:
    """Return the results that children have sent; without a timeout, wait for one."""
    busy = [child for child in children if child.tasks]
    ready = wait([child.pipe for child in busy], timeout) if busy else []
    return [child.receive() for child in busy if child.pipe in ready]


class _Child:
    """A process that checks parts.

    Args:
        checker: The checker of this process, whose settings it takes.
        source: Where it reads the log.
    """

    def __init__(self, checker: RangeChecker, source: Source) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, its_pipe = context.Pipe()
        settings = (checker.point, checker.kept, checker.first_read)
        self._process = context.Process(target=_serve, args=(its_pipe, source, settings), daemon=True)
        with _without_interrupts():
            self._process.start()
        its_pipe.close()
        self.tasks = 0  # without a result

    def give(self, number: int, task: Task) -> None:
        try:
            self.pipe.send((number, task))
        except OSError:
            raise self._ended() from None
        self.tasks += 1

    def receive(self) -> tuple[int, Result]:
        """Return the number of a task, and its result.

        Raises:
            OpenError: The process cannot read the log, or ended.
        """
        try:
            received = self.pipe.recv()
        except (EOFError, OSError):
            raise self._ended() from None
        if isinstance(received, AuditLogError):
            raise received
        self.tasks -= 1
        return received

    def end(self) -> None:
        self.pipe.close()
        self._process.kill()  # it only reads
        self._process.join()
        self._process.close()

    def _ended(self) -> OpenError:
        self._process.join()
        status = self._process.exitcode
        return OpenError(
            f"a process that verified a part of the log ended with the exit status {status}: verify again,"
            " in one process (--jobs 1)"
        )


def _serve(pipe: Connection, source: Source, settings: tuple[int, int, int]) -> None:
    """Check what the pipe asks for, until it is closed."""
    with suppress(EOFError, OSError):  # the other process ended
        try:
            with closing(open_read_only(source.database)) as log:
                _begin(log, source)
                checker = RangeChecker(log, *settings)
                while True:
                    number, task = pipe.recv()
                    pipe.send((number, checker.check(task)))
        except AuditLogError as error:
            pipe.send(error)


def _begin(log: Reader, source: Source) -> None:
    """Start a transaction that sees the state that the other process sees, apart from newer entries.

    Raises:
        OpenError: The states differ.
    """
    log.begin(source.state)
    if archived_end(log) != source.archived:
        raise OpenError("entries moved to an archive when the verification started: verify again")


@contextmanager
def _without_interrupts() -> Generator[None]:
    """Start processes in the block that Ctrl-C does not interrupt: this process ends them."""
    resource_tracker.ensure_running()  # the first process would start it, and it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
