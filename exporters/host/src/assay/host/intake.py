"""What both protocols do with a request: admit, route, decode, hand over, answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from assay.host import metrics
from assay.host.decoding import Received, decode
from assay.host.errors import Rejected, Retry
from assay.host.exporter import Batch, Peer, Result, Signal
from assay.host.refusal import Refusal, Undecodable
from assay.host.settings import LimitSettings
from assay.host.worker import QueueFullError, Worker

logger = logging.getLogger(__name__)

CONTENT = frozenset({400, 409, 413})  # the batch itself is wrong
INLINE_BYTES = 32 * 1024  # a hop to another thread costs more than parsing so little


@dataclass(frozen=True)
class Origin:
    """Where a request came in."""

    listener: str
    peer: Peer

    def told(self, refusal: Refusal, signal: Signal | None) -> Refusal:
        """Count a refusal, and say it as its receiver can bear it.

        A Collector drops a batch that is refused for good. So it is refused for good only what is wrong in
        itself and no audit record: everything else (credentials, paths, names) can be mended while the
        Collector keeps the batch.
        """
        metrics.refused(self.listener, refusal.status)
        if self.peer == "direct" or (refusal.status in CONTENT and signal != "audit"):
            return refusal
        return refusal.kept()


class Slot:
    """A request's share of the memory that requests may take while they are read and parsed."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._bytes = 0

    def grow(self, size: int) -> None:
        """Take more.

        Raises:
            Refusal: 429, there is no more.
        """
        if self._intake.buffered + size > self._intake.limits.buffered_bytes:
            raise Refusal(
                429, "the host has as many bytes in hand as it may (limits.buffered_bytes): send again later"
            )
        self._intake.buffered += size
        self._bytes += size

    def release(self) -> None:
        """Give everything back."""
        self._intake.buffered -= self._bytes
        self._bytes = 0


class Intake:
    """Takes requests to exporters. Used on the event loop only.

    Args:
        workers: The exporters by name.
        limits: What the host may hold.
    """

    def __init__(self, workers: Mapping[str, Worker], limits: LimitSettings) -> None:
        self.workers = workers
        self.limits = limits
        self.buffered = 0
        self.stopping = False
        self._reading = 0
        self._decoders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="assay-decode")

    def close(self) -> None:
        """End the decoding threads."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    @contextmanager
    def admit(self) -> Generator[Slot]:
        """Hold one of the places for requests that are being read or parsed.

        Raises:
            Refusal: 429, there is none; 503, the host is stopping.
        """
        if self.stopping:
            raise Refusal(503, "the host is stopping: send again")
        if self._reading >= self.limits.concurrent_requests:
            raise Refusal(429, "the host has as many requests in hand as it may (limits.concurrent_requests)")
        self._reading += 1
        slot = Slot(self)
        try:
            yield slot
        finally:
            self._reading -= 1
            slot.release()

    def route(self, signal: Signal, name: str | None) -> list[Worker]:
        """The exporters that a batch goes to.

        Args:
            signal: What the batch carries.
            name: The header `assay-exporter`, if there is one.

        Raises:
            Refusal: 404, there is none.
        """
        if name is None:
            found = [worker for worker in self.workers.values() if signal in worker.signals]
        else:
            found = [
                worker for worker in self.workers.values() if worker.name == name and signal in worker.signals
            ]
        if found:
            return found
        there = "; ".join(f"{w.name}: {', '.join(sorted(w.signals))}" for w in self.workers.values())
        asked = f"named {name!r} (header assay-exporter) " if name is not None else ""
        raise Refusal(404, f"no exporter {asked}takes {signal}; there are {there}")

    async def decode(self, received: Received, origin: Origin, slot: Slot) -> Batch:
        """Parse a body; what a Collector sends and cannot be parsed becomes a batch with an error.

        Raises:
            Refusal: 400 or 413 to a direct sender; 413 to a Collector too.
        """
        arrived = time.time_ns()
        limits = self.limits
        if received.gzip:
            # What a body may become is known only afterwards: 20 times is more than OTLP's usual 5 to 10.
            slot.grow(min(limits.body_bytes, 20 * len(received.body)))
        try:
            if received.encoding == "protobuf" and not received.gzip and len(received.body) <= INLINE_BYTES:
                request, payload = decode(received, body_bytes=limits.body_bytes, depth=limits.depth)
            else:
                request, payload = await asyncio.get_running_loop().run_in_executor(
                    self._decoders, lambda: decode(received, body_bytes=limits.body_bytes, depth=limits.depth)
                )
        except Undecodable as problem:
            if origin.peer == "direct":
                raise
            return Batch(
                received.signal,
                None,
                problem.payload,
                received.encoding,
                origin.peer,
                arrived,
                problem.reason,
            )
        return Batch(received.signal, request, payload, received.encoding, origin.peer, arrived)

    async def deliver(
        self, batch: Batch, workers: Sequence[Worker], origin: Origin
    ) -> list[Mapping[str, Any]]:
        """Hand a batch to exporters and wait until all have accepted it.

        Returns:
            Their receipts.

        Raises:
            Refusal: What the first exporter to fail had to say.
        """
        if batch.request is None:
            workers = self._keepers(batch, workers, origin)
        elif not batch.request.ByteSize():
            return []  # OTLP: an empty request is a success; there is nothing to export
        jobs = self._submit(batch, workers)
        waiting = [asyncio.wrap_future(job) for job in jobs.values()]
        for future in waiting:  # who fails after the answer fails unheard, and asyncio would log it
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            done, pending = await asyncio.wait(
                waiting, timeout=self.limits.export_timeout, return_when=asyncio.FIRST_EXCEPTION
            )
            for name, future in zip(jobs, waiting, strict=True):
                if future in done and (error := future.exception()) is not None:
                    raise _refusal(name, error)
            if pending:
                slow = ", ".join(
                    name for name, future in zip(jobs, waiting, strict=True) if future in pending
                )
                seconds = self.limits.export_timeout
                raise Refusal(
                    503, f"exporter {slow} did not finish within {seconds:g} s: send the batch again"
                )
            return [receipt for future in waiting for receipt in future.result().receipts]
        finally:
            # What has not begun need not begin: its sender was told, or is gone. The job itself, at once:
            # the asyncio future would pass it on only after the sender has its answer.
            for job in jobs.values():
                job.cancel()

    def _submit(self, batch: Batch, workers: Sequence[Worker]) -> dict[str, Future[Result]]:
        """To all or to none."""
        for worker in workers:
            if not worker.room(len(batch.payload)):
                raise Refusal(
                    429, f"exporter {worker.name} is behind and its queue is full: send again later"
                )
        try:
            return {worker.name: worker.submit(batch) for worker in workers}
        except QueueFullError as error:
            raise Refusal(
                429, f"exporter {error} is behind and its queue is full: send again later"
            ) from error

    def _keepers(self, batch: Batch, workers: Sequence[Worker], origin: Origin) -> list[Worker]:
        keepers = [worker for worker in workers if worker.undecodable]
        metrics.undecodable(origin.listener, batch.signal, "true" if keepers else "false")
        logger.error(
            "listener %s: undecodable %s from a Collector: %s", origin.listener, batch.signal, batch.error
        )
        if keepers:
            return keepers
        if batch.signal == "audit":
            raise Refusal(
                503, f"no exporter here keeps undecodable audit batches, so it stays yours: {batch.error}"
            )
        raise Refusal(400, batch.error)


def _refusal(name: str, error: BaseException) -> Refusal:
    if isinstance(error, Retry):
        return Refusal(503 if error.after is None else 429, f"exporter {name}: {error.reason}", error.after)
    if isinstance(error, Rejected):
        return Refusal(error.status, f"exporter {name}: {error.reason}")
    return Refusal(503, f"exporter {name} failed ({error}): send again; the host's log says where")
