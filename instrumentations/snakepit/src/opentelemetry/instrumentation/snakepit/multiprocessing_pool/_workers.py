"""The workers of `multiprocessing.Pool`: a thread of the pool replaces those that have ended."""

from __future__ import annotations

from opentelemetry.instrumentation.snakepit._crashes import report_crash
from opentelemetry.instrumentation.snakepit._pending import OPEN
from opentelemetry.instrumentation.snakepit._pools import POOLS, Pool
from opentelemetry.instrumentation.snakepit._process import worker_id_of
from opentelemetry.instrumentation.snakepit.errors import WorkerLostError
from opentelemetry.instrumentation.snakepit.workers import worker_changed

from assay.instrumentation import Call, Foreign, guarded


def pool_of(owner: Foreign) -> Pool:
    """Return the record of a pool."""
    return POOLS.get(owner) or POOLS.find(owner, type(owner).__name__, _count_workers)


@guarded
def update(owner: Foreign) -> None:
    """Read the workers that a pool has now."""
    workers = [worker for worker in owner._pool if hasattr(worker, "exitcode")]  # noqa: SLF001 - no public name
    if workers and hasattr(workers[0], "sentinel"):  # processes
        pool_of(owner).roster.update({worker.pid: worker for worker in workers})


def join_exited(call: Call) -> Foreign:
    """Wrap `_join_exited_workers(pool)`, which takes the ended workers out of the pool's list."""
    workers = call.args[0]
    owner, before = _owner_of(workers), list(workers)
    result = call()
    if owner is not None:
        # Those that were taken out: a worker may end at any moment, also just before the library looks.
        for worker in before:
            if worker not in workers:
                _report_end(pool_of(owner), worker.pid, worker.exitcode, owner._maxtasksperchild)  # noqa: SLF001 - as above
    return result


def close(call: Call) -> Foreign:
    """Wrap `close()`."""
    pool_of(call.instance).is_closed = True
    return call()


def terminate(call: Call) -> Foreign:
    """Wrap `terminate()`, which gives up the requests that are not completed."""
    pool = pool_of(call.instance)
    pool.is_closed = True
    result = call()
    for pending in [each for each in list(OPEN.values()) if each.pool is pool]:
        if pool.lost:
            pool.lost -= 1
            pending.end(WorkerLostError("the worker ended before it returned the result of this request"))
        else:
            pending.end(status="canceled")
    pool.roster.dismiss()
    return result


@guarded
def _report_end(pool: Pool, process_id: int | None, exit_code: int | None, max_tasks: int | None) -> None:
    if process_id is None:  # a thread
        return
    worker_id = worker_id_of(pool.name, process_id)
    pool.ready.discard(worker_id)
    if exit_code == 0 and max_tasks is not None:
        worker_changed("recycled", pool.name, worker_id, reason="max_tasks")
        return
    pool.lost += 1
    report_crash(pool.name, worker_id, exit_code, None)


def _owner_of(workers: list[Foreign]) -> Foreign:
    """Return the pool that has this list of workers."""
    return next((owner for owner in POOLS.owners() if getattr(owner, "_pool", None) is workers), None)


def _count_workers(owner: Foreign) -> int:
    return owner._processes  # noqa: SLF001 - there is no public name
