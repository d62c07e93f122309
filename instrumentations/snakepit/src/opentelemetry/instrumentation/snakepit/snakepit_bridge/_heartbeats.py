"""The heartbeat of a worker, which `snakepit_bridge.heartbeat.HeartbeatClient` sends to Elixir."""

from __future__ import annotations

from time import monotonic_ns

from opentelemetry.instrumentation.snakepit.snakepit_bridge._backend import POOL, worker_id
from opentelemetry.instrumentation.snakepit.workers import heartbeat

from assay.instrumentation import AsyncCall, Call, Foreign


def start(call: Call) -> Foreign:
    """Wrap `start()`, which returns whether the heartbeat has started."""
    has_started = call()
    if has_started:
        heartbeat("monitor_started", worker_id(), pool_name=POOL)
    return has_started


async def stop(call: AsyncCall) -> Foreign:
    """Wrap `stop()`."""
    is_running = call.instance.status()["running"]
    await call()
    if is_running:
        heartbeat("monitor_stopped", worker_id(), pool_name=POOL)


async def send_ping(call: AsyncCall) -> Foreign:
    """Wrap `_send_ping()`, which returns the answer, or None if there was none in time."""
    heartbeat("ping_sent", worker_id(), pool_name=POOL)
    sent = monotonic_ns()
    answer = await call()
    if answer is None:
        heartbeat("heartbeat_timeout", worker_id(), pool_name=POOL)
    else:
        heartbeat("pong_received", worker_id(), pool_name=POOL, latency=monotonic_ns() - sent)
    return answer


async def give_up(call: AsyncCall) -> Foreign:
    """Wrap `_emit_threshold_notification()`: too many pings had no answer."""
    missed = call.instance.status()["missed_heartbeats"]
    heartbeat("monitor_failure", worker_id(), pool_name=POOL, reason=f"{missed} pings without an answer")
    return await call()
