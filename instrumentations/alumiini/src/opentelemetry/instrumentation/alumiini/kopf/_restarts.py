"""Which workers run again because the operator was restarted.

kopf adds its finalizer to an object when it starts the object's daemons and timers, and leaves it there when
the operator ends. If an object already has the finalizer when an operator first lists it, an earlier
operator has handled it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from assay.instrumentation import AsyncCall, Foreign, guarded

_MARK = "_alumiini_first_seen"
"""Attribute of kopf's memory of an object's workers. It ends with that memory."""


@dataclass(slots=True)
class _FirstSeen:
    finalizers: frozenset[str]
    restarted: set[str] = field(default_factory=set[str])


async def recall(call: AsyncCall) -> Foreign:
    """Wrap `ResourceMemories.recall`: kopf's memory of an object, which is new when kopf first sees it."""
    memory = await call()
    _note(call, memory)
    return memory


@guarded
def _note(call: AsyncCall, memory: Foreign) -> None:
    workers = memory.daemons_memory
    if not hasattr(workers, _MARK):
        metadata = call.argument("raw_body")["metadata"]
        finalizers = metadata.get("finalizers", ()) if memory.noticed_by_listing else ()
        setattr(workers, _MARK, _FirstSeen(frozenset(finalizers)))


@guarded
def is_restarted(call: AsyncCall) -> bool:
    """Return whether a call of `_runner` is the first one for a worker that an earlier operator has run."""
    seen: _FirstSeen | None = getattr(call.argument("memory"), _MARK, None)
    worker = str(call.argument("handler").id)
    finalizer = call.argument("settings").persistence.finalizer
    if seen is None or worker in seen.restarted or finalizer not in seen.finalizers:
        return False
    seen.restarted.add(worker)
    return True
