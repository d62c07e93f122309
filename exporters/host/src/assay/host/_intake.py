"""Process a request, the same for both protocols: admit, route, decode, hand over, answer."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from assay.host import _metrics
from assay.host._admission import Admission, Reservation
from assay.host._decoding import RequestBody, decode
from assay.host._expansion import most_memory
from assay.host._refusal import Refusal, Undecodable
from assay.host._settings import LimitSettings
from assay.host._worker import QueueFullError, Worker
from assay.host.errors import Rejected, Retry
from assay.host.escaping import escaped
from assay.host.exporter import Batch, Peer, Result, Signal

logger = logging.getLogger(__name__)

INVALID_BATCH = frozenset({400, 409, 413})
"""Statuses that concern the batch itself, unlike those that concern credentials, paths or names."""
INLINE_BYTES = 32 * 1024
"""Bodies up to this size are parsed on the event loop: a hand-over to another thread would cost more."""
GZIP_RATIO = 20
"""Assumed compression ratio of a gzip body, whose decompressed size is not known yet; OTLP's is 5 to 10."""


@dataclass(frozen=True)
class Origin:
    """The listener that received a request, and the kind of its senders."""

    listener: str
    peer: Peer

    def refusal_for_peer(self, refusal: Refusal, signal: Signal | None) -> Refusal:
        """Count a refusal and return it in the form that the sender can handle.

        A Collector drops a batch that is refused permanently. Only malformed non-audit batches from a
        Collector are therefore refused permanently: an operator can correct everything else (credentials,
        paths, names) while the Collector keeps the batch.
        """
        _metrics.refused(self.listener, refusal.status)
        if self.peer == "direct" or (refusal.status in INVALID_BATCH and signal != "audit"):
            return refusal
        return refusal.retryable()


class Intake:
    """Passes requests to exporters. Used on the event loop only.

    Args:
        workers: The exporters' workers by name.
        limits: The limits on requests.
    """

    def __init__(self, workers: Mapping[str, Worker], limits: LimitSettings) -> None:
        self.workers = workers
        self.limits = limits
        self.admission = Admission(limits)
        self.stopping = False
        self._decoders = ThreadPoolExecutor(max_workers=2, thread_name_prefix="assay-decode")

    def close(self) -> None:
        """Stop the decoding threads."""
        self._decoders.shutdown(wait=False, cancel_futures=True)

    def admit(self, signal: Signal, origin: Origin, sender: str) -> AbstractContextManager[Reservation]:
        """Count a request as being read or parsed; the context manager yields its reservation.

        Raises:
            Refusal: 429: too many requests are in progress; 503: the host is stopping.
        """
        if self.stopping:
            raise Refusal(503, "the host is stopping: send again")
        return self.admission.admit(audit=signal == "audit", listener=origin.listener, sender=sender)

    def route(self, signal: Signal, name: str | None) -> list[Worker]:
        """Return the exporters that accept a signal.

        Args:
            signal: The signal of the batch.
            name: Value of the header `assay-exporter`, which selects one exporter; None selects all.

        Raises:
            Refusal: 404: no exporter accepts the signal.
        """
        selected = [
            worker
            for worker in self.workers.values()
            if signal in worker.signals and name in {None, worker.name}
        ]
        if selected:
            return selected
        known = "; ".join(f"{w.name}: {', '.join(sorted(w.signals))}" for w in self.workers.values())
        requested = f"named {escaped(name)!r} (header assay-exporter) " if name is not None else ""
        raise Refusal(404, f"no exporter {requested}takes {signal}; there are {known}")

    async def decode(self, body: RequestBody, origin: Origin, reservation: Reservation) -> Batch:
        """Parse a body. An undecodable body from a Collector becomes a batch with an error.

        Raises:
            Refusal: 400 or 413: the body of a direct sender is undecodable; 429: the buffer limit is reached.
        """
        received = time.time_ns()
        limits = self.limits
        if body.gzip:
            reservation.grow(min(limits.body_bytes, GZIP_RATIO * len(body.data)))
        try:
            if body.encoding == "protobuf" and not body.gzip and len(body.data) <= INLINE_BYTES:
                request, payload = decode(body, limits)
            else:
                request, payload = await asyncio.get_running_loop().run_in_executor(
                    self._decoders, decode, body, limits
                )
        except Undecodable as error:
            if origin.peer == "direct":
                raise
            return Batch(body.signal, None, error.payload, body.encoding, origin.peer, received, error.reason)
        size = most_memory(payload, _metrics.count_items(request))
        return Batch(body.signal, request, payload, body.encoding, origin.peer, received, memory=size)

    async def deliver(
        self, batch: Batch, workers: Sequence[Worker], origin: Origin
    ) -> list[Mapping[str, Any]]:
        """Pass a batch to exporters and wait until all have accepted it.

        Returns:
            The exporters' receipts.

        Raises:
            Refusal: The response of the first exporter that failed, or 429 or 503 if one has no capacity or
                is too slow.
        """
        if batch.request is None:
            workers = self._workers_for_undecodable(batch, workers, origin)
        elif not batch.request.ListFields():
            return []  # OTLP: an empty request is a success; there is nothing to export
        jobs = self._submit(batch, workers)
        futures = [asyncio.wrap_future(job) for job in jobs.values()]
        for future in futures:  # retrieve late exceptions, which asyncio would log otherwise
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            done, pending = await asyncio.wait(
                futures, timeout=self.limits.export_timeout, return_when=asyncio.FIRST_EXCEPTION
            )
            for name, future in zip(jobs, futures, strict=True):
                if future in done and (error := future.exception()) is not None:
                    raise _refusal(name, error)
            if pending:
                slow = ", ".join(
                    name for name, future in zip(jobs, futures, strict=True) if future in pending
                )
                seconds = self.limits.export_timeout
                raise Refusal(
                    503, f"exporter {slow} did not finish within {seconds:g} s: send the batch again"
                )
            return [receipt for future in futures for receipt in future.result().receipts]
        finally:
            # A job that has not started need not start: its sender has an answer or has disconnected.
            # Cancel the job itself: an asyncio future would pass the cancellation on only after the answer
            # is sent.
            for job in jobs.values():
                job.cancel()

    def _submit(self, batch: Batch, workers: Sequence[Worker]) -> dict[str, Future[Result]]:
        """Submit the batch to all workers, or to none."""
        for worker in workers:
            if not worker.has_room(batch):
                raise _queue_full(worker.name)
        try:
            return {worker.name: worker.submit(batch) for worker in workers}
        except QueueFullError as error:
            raise _queue_full(str(error)) from error

    def _workers_for_undecodable(
        self, batch: Batch, workers: Sequence[Worker], origin: Origin
    ) -> list[Worker]:
        """Return the workers whose exporters accept undecodable batches."""
        accepting = [worker for worker in workers if worker.undecodable]
        _metrics.undecodable(origin.listener, batch.signal, kept=bool(accepting))
        reason = escaped(batch.error)
        logger.error(
            "listener %s: undecodable %s from a Collector: %s", origin.listener, batch.signal, reason
        )
        if accepting:
            return accepting
        if batch.signal == "audit":
            raise Refusal(
                503, f"no exporter here stores undecodable audit batches, so keep it: {batch.error}"
            )
        raise Refusal(400, batch.error)


def _queue_full(name: str) -> Refusal:
    return Refusal(429, f"the queue of exporter {name} is full: send again later")


def _refusal(name: str, error: BaseException) -> Refusal:
    if isinstance(error, Retry):
        return Refusal(503 if error.after is None else 429, f"exporter {name}: {error.reason}", error.after)
    if isinstance(error, Rejected):
        return Refusal(error.status, f"exporter {name}: {error.reason}")
    return Refusal(503, f"exporter {name} failed ({error}): send again; see the host's log")
