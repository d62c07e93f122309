"""The wrappers of kopf's functions.

kopf calls each handler in `invoke_handler`, where the handler's own exceptions still arrive; it judges them
(retry, permanent, ignored) afterwards. A daemon or timer of an object lives as long as its `_runner`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.events import Trigger
from opentelemetry.instrumentation.alumiini.kopf._objects import namespace_of, repository_of
from opentelemetry.instrumentation.alumiini.kopf._restarts import is_restarted
from opentelemetry.instrumentation.alumiini.repositories import Repository
from opentelemetry.instrumentation.alumiini.syncs import Sync
from opentelemetry.instrumentation.alumiini.workers import (
    worker_restarted,
    worker_started,
    worker_stopped,
    workers_active,
)

from assay.instrumentation import AsyncCall, Foreign, Hook, guarded

_TRIGGERS: dict[str, Trigger] = {
    "create": "manual",
    "update": "manual",
    "delete": "manual",
    "resume": "startup",
}
"""Trigger of a sync by kopf's reason: somebody changed the object, or the operator started."""
_TIMER, _DAEMON = "TimerHandler", "DaemonHandler"
_CHILDREN_RETRY = "HandlerChildrenRetry"
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0


class Workers:
    """The workers that run in this process.

    Their memory is what the process has gained since its first worker started: the interpreter and the
    libraries take the same memory however many repositories there are.
    """

    def __init__(self) -> None:
        self._running = 0
        self._before: int | None = None
        """Resident memory of the process before its first worker."""

    @contextmanager
    def running(self, worker_id: str, repository: Repository | None) -> Iterator[None]:
        """Report a worker while the block runs.

        Args:
            worker_id: Identifies the worker.
            repository: Its repository.
        """
        if self._before is None:
            self._before = _resident_bytes()
        self._running += 1
        worker_started(worker_id, repository=repository)
        self.sample()
        try:
            yield
        finally:
            self._running -= 1
            worker_stopped(worker_id, repository=repository)
            self.sample()

    @guarded
    def sample(self) -> None:
        """Emit how many workers run, and their memory."""
        workers_active(self._running, memory_bytes=self._memory())

    def _memory(self) -> int | None:
        now = _resident_bytes()
        return None if now is None or self._before is None else max(0, now - self._before)


class Handlers:
    """The wrappers.

    Args:
        request_hook: The user's request hook.
        response_hook: The user's response hook.
    """

    def __init__(self, request_hook: Hook, response_hook: Hook) -> None:
        self._request_hook, self._response_hook = request_hook, response_hook
        self._workers = Workers()

    async def invoke(self, call: AsyncCall) -> Foreign:
        """Wrap `invoke_handler`: one call of a handler."""
        handler, cause = call.argument("handler"), call.argument("cause")
        retry = int(call.argument("retry", 0) or 0)
        about = _repository(cause)
        if type(handler).__name__ == _DAEMON:
            if retry:
                worker_restarted(_worker_id(handler, cause), repository=about)
            with _about(about, cause):
                return await call()
        trigger = _trigger(handler, cause)
        if about is None or trigger is None:
            return await call()
        try:
            with Sync(
                about,
                trigger=trigger,
                namespace=namespace_of(cause.body),
                details=(str(handler.id), cause.body),
                request_hook=self._request_hook,
                response_hook=self._response_hook,
                retry=retry,
            ) as running:
                return await self._call(call, running)
        finally:
            self._workers.sample()

    async def run_worker(self, call: AsyncCall) -> Foreign:
        """Wrap `_runner`: the life of a daemon or timer of one object."""
        handler, cause = call.argument("handler"), call.argument("cause")
        worker_id, about = _worker_id(handler, cause), _repository(cause)
        if is_restarted(call):
            worker_restarted(worker_id, repository=about)
        with self._workers.running(worker_id, about):
            return await call()

    async def keep_alive(self, call: AsyncCall) -> Foreign:
        """Wrap `keepalive`: the announcements of this operator to its peers."""
        with self._workers.running(f"peering/{call.argument('identity')}", None):
            return await call()

    async def _call(self, call: AsyncCall, running: Sync) -> Foreign:
        try:
            result = await call()
        except Exception as raised:
            if type(raised).__name__ == _CHILDREN_RETRY:
                running.leave_unfinished()
            raise
        running.respond(result)
        return result


@guarded
def _repository(cause: Foreign) -> Repository | None:
    body = getattr(cause, "body", None)
    return None if body is None else repository_of(body)


@guarded
def _trigger(handler: Foreign, cause: Foreign) -> Trigger | None:
    """Return the trigger of a handler's call; None if the call is not a sync."""
    if type(handler).__name__ == _TIMER:
        return "reconcile"
    if type(cause).__name__ == "WebhookCause":
        return None if cause.dryrun else "webhook"
    if type(cause).__name__ != "ChangingCause":
        return None  # raw events, indices, and the operator's own activities
    return (
        "startup" if getattr(handler, "initial", None) and cause.initial else _TRIGGERS.get(str(cause.reason))
    )


@guarded
def _worker_id(handler: Foreign, cause: Foreign) -> str:
    metadata = cause.body.get("metadata", {})
    return "/".join(filter(None, (metadata.get("namespace"), metadata.get("name"), str(handler.id))))


@contextmanager
def _about(repository: Repository | None, cause: Foreign) -> Iterator[None]:
    """Make the events of a daemon those of its repository."""
    if repository is None:
        yield
        return
    outer = _scope.current.get()
    namespace = namespace_of(cause.body) or _scope.of_process()["namespace"]
    _scope.current.set(_scope.Scope(repository, namespace, _scope.of_process()["cluster_id"], "reconcile"))
    try:
        yield
    finally:
        _scope.current.set(outer)


def _resident_bytes() -> int | None:
    """Return the resident memory of this process (proc(5), `/proc/self/statm`); None where it is unknown."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 - read at each sync
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return None
