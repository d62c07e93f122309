"""The heartbeat of a worker."""

import asyncio

import snakepit_bridge_pb2 as messages


class HeartbeatClient:
    def __init__(self, stub, session_id, interval, most_missed=3):
        self._stub = stub
        self._session_id = session_id
        self._interval = interval
        self._most_missed = most_missed
        self._missed = 0
        self._task = None

    def start(self):
        self._task = asyncio.get_running_loop().create_task(self._run())
        return True

    async def stop(self):
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def status(self):
        return {"running": self._task is not None, "missed_heartbeats": self._missed}

    async def _run(self):
        while True:
            await self._send_ping()
            await asyncio.sleep(self._interval)

    async def _send_ping(self):
        try:
            answer = await self._stub.Heartbeat(messages.HeartbeatRequest(session_id=self._session_id))
        except Exception:
            self._missed += 1
            if self._missed >= self._most_missed:
                await self._emit_threshold_notification()
            return None
        self._missed = 0
        return answer

    async def _emit_threshold_notification(self):
        """Do nothing: the real one ends the process."""
