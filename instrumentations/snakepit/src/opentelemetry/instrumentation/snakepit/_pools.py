"""The pools of this process, and the requests that they have not completed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from weakref import WeakKeyDictionary, ref

from opentelemetry.instrumentation.snakepit._roster import Roster
from opentelemetry.instrumentation.snakepit.pools import pool_started, pool_status

from assay.instrumentation import Foreign

RECENT = 1000
"""How many completed requests of a pool its error rate and its response time are computed from."""


class Counts(NamedTuple):
    """The state of pools that share a name."""

    total_workers: int
    available_workers: int
    busy_workers: int
    queue_size: int


_NO_WORKERS = Counts(0, 0, 0, 0)


class Pool:
    """One pool.

    Args:
        owner: The executor or the pool of the library.
        name: Label of its series. Pools may share it.
        count_workers: Returns the number of workers that the pool may have.

    Attributes:
        open: Ids of the requests that are not completed.
        is_broken: The library has given the pool up.
        is_closed: It takes no further requests.
        max_tasks: How many tasks a worker runs before it is replaced; None if that is not limited.
        lost: How many workers have ended with a request that their pool still expects.
        ready: Ids of the workers that have run a task.
        roster: Its worker processes, if its workers are processes.
    """

    def __init__(self, owner: Foreign, name: str, count_workers: Callable[[Foreign], int]) -> None:
        self.name = name
        self.open: set[str] = set()
        self.is_broken = False
        self.is_closed = False
        self.max_tasks: int | None = None
        self.lost = 0
        self.ready: set[str] = set()
        self.roster = Roster(self)
        self._owner = ref(owner)
        self._count_workers = count_workers

    def counts(self) -> Counts:
        """Return its state. A pool gives a waiting request to a worker as soon as one is available."""
        owner = self._owner()
        total = 0 if owner is None or self.is_broken else self._count_workers(owner)
        waiting = len(self.open)
        busy = min(waiting, total)
        return Counts(total, total - busy, busy, waiting - busy)


class Outcomes:
    """Durations and failures of the recent requests of the pools of one name."""

    def __init__(self) -> None:
        self._recent: deque[tuple[int, bool]] = deque(maxlen=RECENT)

    def add(self, duration: int, *, is_error: bool) -> None:
        """Add a completed request; its duration in ns."""
        self._recent.append((duration, is_error))

    def error_rate(self) -> float:
        """Return the share of requests that failed."""
        recent = list(self._recent)
        return sum(is_error for _, is_error in recent) / len(recent) if recent else 0.0

    def average_ms(self) -> float:
        """Return the mean duration in milliseconds."""
        recent = list(self._recent)
        return sum(duration for duration, _ in recent) / len(recent) / 1e6 if recent else 0.0


class Pools:
    """The pools of this process.

    Attributes:
        outcomes: The recent requests by the name of the pool.
    """

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[Foreign, Pool] = WeakKeyDictionary()
        self._names: WeakKeyDictionary[Foreign, str] = WeakKeyDictionary()
        self.outcomes: dict[str, Outcomes] = {}
        self._shown: set[str] = set()

    def name(self, owner: Foreign, name: str) -> None:
        """Name a pool."""
        self._names[owner] = name
        pool = self._pools.get(owner)
        if pool is not None:
            pool.name = name

    def find(self, owner: Foreign, default_name: str, count_workers: Callable[[Foreign], int]) -> Pool:
        """Return the record of a library's pool; a new one if there is none."""
        pool = self._pools.get(owner)
        if pool is None:
            pool = Pool(owner, self._names.get(owner, default_name), count_workers)
            self._pools[owner] = pool
            self.outcomes_of(pool.name)
            pool_started(pool.name, "initialized")
        return pool

    def get(self, owner: Foreign) -> Pool | None:
        """Return the record of a library's pool, if there is one."""
        return self._pools.get(owner)

    def outcomes_of(self, name: str) -> Outcomes:
        """Return the recent requests of the pools of a name."""
        return self.outcomes.get(name) or self.outcomes.setdefault(name, Outcomes())

    def owners(self) -> list[Foreign]:
        """Return the executors and pools of the libraries."""
        return list(self._pools)

    def counts(self) -> dict[str, Counts]:
        """Return the state of the pools by name; pools that share a name are added up."""
        found: dict[str, Counts] = {}
        for pool in list(self._pools.values()):
            if pool.is_closed and not pool.open:
                continue
            counts, before = pool.counts(), found.get(pool.name)
            if before is not None:
                counts = Counts(*(one + other for one, other in zip(before, counts, strict=True)))
            found[pool.name] = counts
        return found

    def process_count(self) -> int:
        """Return how many worker processes there are, as far as they were seen."""
        return sum(len(pool.roster) for pool in list(self._pools.values()))

    def emit_status(self) -> None:
        """Emit the state of each pool; once more, as empty, that of a pool that is gone.

        A gauge of the SDK keeps its last value.
        """
        found = self.counts()
        gone = dict.fromkeys(self._shown - found.keys(), _NO_WORKERS)
        self._shown = set(found)
        for name, counts in {**found, **gone}.items():
            pool_status(
                name,
                available_workers=counts.available_workers,
                busy_workers=counts.busy_workers,
                queue_size=counts.queue_size,
            )

    def forget(self) -> None:
        """Forget all pools: in a forked child they are the parent's."""
        self.__init__()


POOLS = Pools()
"""The pools of this process."""


def name_pool(pool: Foreign, name: str) -> None:
    """Give an executor or a pool a name, which is a label of its series.

    Without one, a pool of threads has the prefix of its threads' names, and any other pool its class.

    Args:
        pool: The executor or the pool.
        name: The name. Pools that share it share their series.
    """
    POOLS.name(pool, name)


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=POOLS.forget)
