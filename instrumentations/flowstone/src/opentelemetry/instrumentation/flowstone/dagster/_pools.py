"""Pools, which limit how many steps run at the same time: `flowstone.pool.*`.

The process that executes a run claims a slot for each step of a pool. A daemon reports how many slots of each
pool are claimed, with its heartbeats: that is one process for the whole deployment.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic_ns

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._event_log import Report, Stored

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry import execute

LEGACY_TAG = "dagster/concurrency_key"
"""Tag of an op that named its pool before `pool` did."""
BLOCKED = "ENGINE_EVENT"
WAITING_LIMIT = 10_000
"""Waiting steps that a process remembers."""
POOLS_LIMIT = 100
"""Pools whose slots are reported."""
REPORTER = "SENSOR"
"""The daemon that reports the slots: every deployment runs it."""


def pool_of(step: Foreign) -> str | None:
    """Return the pool of a step; None if it belongs to none."""
    return getattr(step, "pool", None) or step.tags.get(LEGACY_TAG)


def reports() -> Mapping[str, Report]:
    """Return the report of the event that says that a step waits, by the type of event."""
    return {BLOCKED: _report_blocked}


def _report_blocked(stored: Stored) -> None:
    metadata = getattr(stored.event.event_specific_data, "metadata", None)
    # Dagster repeats the event while the step waits, with another message.
    if metadata and "pool" in metadata and (stored.event.message or "").startswith("Step blocked"):
        pool = {"pool": str(metadata["pool"].value), "step_key": stored.step_key}
        execute("flowstone.pool.blocked", None, described(run_id=stored.run_id, job=stored.job, **pool))


class Claims:
    """The claims of slots in this process, and how long each waits."""

    def __init__(self) -> None:
        self._since: dict[tuple[str, str], int] = {}

    def claim(self, call: Call) -> Foreign:
        """Wrap `InstanceConcurrencyContext.claim`, which returns whether a step may start."""
        may_start = call()
        self._note(call, may_start)
        return may_start

    @guarded
    def _note(self, call: Call, may_start: Foreign) -> None:
        run_id: str = call.instance._run_id  # noqa: SLF001 - Dagster has no other name for it
        step_key: str = call.argument("step_key")
        place = run_id, step_key
        if not may_start:
            if len(self._since) < WAITING_LIMIT:
                self._since.setdefault(place, monotonic_ns())
            return
        waited = monotonic_ns() - self._since.pop(place) if place in self._since else 0
        if step_key in call.instance._claims:  # noqa: SLF001 - else the pool has no limit
            metadata = described(run_id=run_id, pool=call.argument("concurrency_key"), step_key=step_key)
            execute("flowstone.pool.claimed", {"wait_time": waited}, metadata)


@guarded
def report_slots(instance: Foreign) -> None:
    """Emit the slots of each pool, as Dagster's storage has them."""
    storage = instance.event_log_storage
    if not storage.supports_global_concurrency_limits:
        return
    for pool in sorted(storage.get_concurrency_keys())[:POOLS_LIMIT]:
        slots = storage.get_concurrency_info(pool)
        measurements = {
            "claimed_slots": slots.active_slot_count,
            "free_slots": max(0, slots.slot_count - slots.active_slot_count),
            "pending_steps": slots.pending_step_count,
        }
        execute("flowstone.pool.state", measurements, {"pool": pool})
