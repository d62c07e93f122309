"""Measure the emission of audit records: to the disk, and the caller's time of `emit_async`."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from pathlib import Path

from assay.audit import AuditLogger, AuditProvider, AuditRecord, BatchProcessor, DiskQueue, PendingReceipt
from benchmarks.discard import AcceptingAudit
from benchmarks.row import Row

RECORDS = 200
BYTES = 500
LONGEST_CALL = 100e-6  # seconds
_TO_DISK = 4.0


def run(rounds: int = 5) -> list[Row]:
    """Measure pairs of one record to the disk and one raw flush, and the processor time of the caller.

    Returns:
        Time of a record to the disk ÷ time of a flush; processor time of `emit_async` ÷ 100 µs.
    """
    with tempfile.TemporaryDirectory() as folder:
        processor = BatchProcessor(AcceptingAudit(), DiskQueue(Path(folder, "queue")), delay=3600)
        provider = AuditProvider(processor, {"service.name": "orders"})
        logger = provider.get_logger("benchmark")
        pairs = [_pair(logger, Path(folder, "floor")) for _ in range(rounds)]
        calls = [_call(logger) for _ in range(rounds)]
        provider.shutdown()
    ratio = statistics.median(emitted / flushed for emitted, flushed in pairs)
    emitted, flushed = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    note = f"write and fsync of {BYTES} bytes: {flushed:.2f} ms; to the disk {emitted:.2f} ms"
    call = statistics.median(calls)
    return [
        Row("audit record to the application's disk", ratio, _TO_DISK, "at most", rounds, note),
        Row(
            "emit_async, the caller's processor time",
            call / LONGEST_CALL,
            1.0,
            "at most",
            rounds,
            f"100 µs; measured {call * 1e6:.0f} µs",
        ),
    ]


def _record() -> AuditRecord:
    return AuditRecord(
        event_name="order.refunded",
        action="REFUND",
        outcome="success",
        actor_id="alice@example.com",
        target_id="order-17",
        body={"reason": "damaged", "amount": 12},
    )


def _pair(logger: AuditLogger, floor: Path) -> tuple[float, float]:
    """Return the median seconds of a record to the disk, and of a flush."""
    emitted: list[float] = []
    flushed: list[float] = []
    descriptor = os.open(floor, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for _ in range(RECORDS):
            before = time.perf_counter()
            logger.emit_async(_record()).accepted.result()
            between = time.perf_counter()
            os.write(descriptor, b"x" * BYTES)
            os.fsync(descriptor)
            emitted.append(between - before)
            flushed.append(time.perf_counter() - between)
    finally:
        os.close(descriptor)
    return statistics.median(emitted), statistics.median(flushed)


def _call(logger: AuditLogger) -> float:
    """Return the median processor time of a call, in seconds."""
    times: list[float] = []
    pending: list[PendingReceipt] = []
    for _ in range(RECORDS):
        record = _record()
        before = time.thread_time()
        pending.append(logger.emit_async(record))
        times.append(time.thread_time() - before)
    for one in pending:
        one.accepted.result()
    return statistics.median(times)
