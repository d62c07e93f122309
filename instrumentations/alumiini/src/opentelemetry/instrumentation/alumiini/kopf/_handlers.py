"""The wrappers of kopf's functions.

kopf calls each handler in `invoke_handler`, where the handler's own exceptions still arrive; it judges them
(retry, permanent, ignored) afterwards. A daemon or timer of an object lives as long as its `_runner`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.instrumentation.alumiini import _scope
from opentelemetry.instrumentation.alumiini.events import Trigger
from opentelemetry.instrumentation.alumiini.kopf._objects import namespace_of, repository_of
from opentelemetry.instrumentation.alumiini.kopf._restarts import is_restarted
from opentelemetry.instrumentation.alumiini.kopf._workers import Workers
from opentelemetry.instrumentation.alumiini.repositories import Repository
from opentelemetry.instrumentation.alumiini.syncs import Sync
from opentelemetry.instrumentation.alumiini.workers import worker_restarted

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


class Handlers:
    """The wrappers.

    Args:
        workers: The workers that run in this process.
        request_hook: The user's request hook.
        response_hook: The user's response hook.
    """

    def __init__(self, workers: Workers, request_hook: Hook, response_hook: Hook) -> None:
        self._workers = workers
        self._request_hook, self._response_hook = request_hook, response_hook

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
