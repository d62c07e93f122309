"""Measure a fetch, an apply and a kopf reconcile, instrumented, against the same without instrumentation.

Wall time is what a user waits for; processor time is what the machine does. Both are of one run. A fetch and
a reconcile include git's processes and its HTTP server, on this machine; a fetch of a local repository, whose
floor is lower than with any server, is reported. An apply and a reconcile include the API server and etcd,
which serve HTTPS and sync each write to the disk, as in production. Short batches with and without
instrumentation take turns in one process, so that other load on the machine affects both, and each is
compared with the bare one of its turn. The client's own processor time varies least, so it shows best what is
added. "Instrumented" includes everything up to exporters that discard their batches; the audit trail has a
row of its own, because its cost is the flush of a disk.
"""

# pyright: basic
# GitPython, kopf and the Kubernetes client have no types, or types of some parts only.

from __future__ import annotations

import gc
from collections.abc import Callable, Generator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor
from opentelemetry.instrumentation.alumiini.gitpython import GitPythonInstrumentor
from opentelemetry.instrumentation.alumiini.kopf import KopfInstrumentor
from opentelemetry.instrumentation.alumiini.kubernetes import KubernetesInstrumentor

from assay.audit import AuditProvider, BatchProcessor, DiskQueue
from assay.audit.bus_events import record_of_event
from assay.cli._demo.workload.cluster import Cluster
from assay.cli._demo.workload.gitops_programs import example_folder
from assay.instrumentation.testing import GitServer
from assay.instrumentation.testing.kubernetes import ApiServer, find_api_server
from assay.telemetry.bridge import Defaults, set_defaults
from benchmarks import discard
from benchmarks.gitops_by_hand import ByHand
from benchmarks.gitops_subjects import CLIENT, Applies, Around, Fetches, Subject, Times, bare, controller
from benchmarks.row import Row

BOUND = 1.05
TURNS = 12
"""How often the modes take turns in one round."""
WARM_UP = 3
"""The first ones after instrumenting run code that Python has not specialised yet."""
INSTRUMENTORS = (GitPythonInstrumentor, KubernetesInstrumentor, KopfInstrumentor)
BARE, INSTRUMENTED, BY_HAND = "bare", "instrumented", "by hand"
Turn = Mapping[str, Times]
"""The mean times of one operation, by mode."""


@dataclass(frozen=True, slots=True)
class _Mode:
    """A way in which operations run.

    Args:
        switched_on: Returns a context manager in which they run.
        around: Calls one.
    """

    switched_on: Callable[[], AbstractContextManager[object]]
    around: Around = bare

    def batch(self, subject: Subject) -> Times:
        with self.switched_on():
            subject.batch(WARM_UP, self.around)
            times = subject.batch(subject.size, self.around)
        return {clock: seconds / subject.size for clock, seconds in times.items()}


def run(rounds: int = 5) -> list[Row]:
    """Measure each subject.

    Args:
        rounds: Number of counted rounds; an uncounted one comes first.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        rows = _fetches(folder, rounds)
        with ApiServer(find_api_server(), folder / "kubernetes", is_durable=True) as server:
            cluster = Cluster(server, example_folder() / "install.yaml")
            applies = Applies(cluster, server)
            with _telemetry() as by_hand:
                hand = _Mode(nullcontext, by_hand.apply)
                rows += _measure("Kubernetes apply", applies, rounds, hand)
            with _audit_trail(folder / "audit"), _telemetry():
                rows += _measure("Kubernetes apply with the audit trail", applies, rounds, bound=None)
            with controller(cluster, server, folder) as reconciles, _telemetry() as by_hand:
                hand = _Mode(partial(by_hand.in_reconciles, reconciles.controller))
                rows += _measure("kopf reconcile: fetch, checkout, two applies", reconciles, rounds, hand)
        return rows


def _fetches(folder: Path, rounds: int) -> list[Row]:
    revisions = 3 * TURNS * (rounds + 1) * (Fetches.size + WARM_UP) + 1
    rows: list[Row] = []
    for what, number in {"without a new revision": 1, "of a new revision": revisions}.items():
        served, local = folder / f"served-{number}", folder / f"local-{number}"
        with _telemetry() as by_hand, GitServer(served) as server:
            fetches, hand = Fetches(served, number, server), _Mode(nullcontext, by_hand.fetch)
            rows += _measure(f"GitPython fetch {what}", fetches, rounds, hand)
            fetches = Fetches(local, number)
            name = f"GitPython fetch {what} of a local repository"
            rows += _measure(name, fetches, rounds, hand, bound=None)
    return rows


def _measure(
    name: str, subject: Subject, rounds: int, by_hand: _Mode | None = None, bound: float | None = BOUND
) -> list[Row]:
    modes = {BARE: _Mode(nullcontext), INSTRUMENTED: _Mode(_instrumented)}
    if by_hand is not None:
        modes[BY_HAND] = by_hand
    turns = [turn for number in range(rounds + 1) for turn in _round(subject, modes, number) if number]
    others = [mode for mode in modes if mode != BARE]
    return [_row(name, mode, clock, turns, bound) for clock in turns[0][BARE] for mode in others]


def _round(subject: Subject, modes: Mapping[str, _Mode], number: int) -> list[Turn]:
    gc.collect()
    turns: list[Turn] = []
    for turn in range(TURNS):
        first = (number + turn) % len(modes)  # the one before may affect the next
        order = [*modes][first:] + [*modes][:first]
        turns.append({mode: modes[mode].batch(subject) for mode in order})
    return turns


def _row(name: str, mode: str, clock: str, turns: list[Turn], bound: float | None) -> Row:
    bare_one, this_one = (median(turn[each][clock] for turn in turns) * 1e3 for each in (BARE, mode))
    return Row(
        f"{name}{' by hand' if mode == BY_HAND else ''}, {clock}",
        median(turn[mode][clock] / turn[BARE][clock] for turn in turns),
        bound if mode == INSTRUMENTED and clock != CLIENT else None,
        "at most",
        len(turns),
        f"floor: the bare one, {bare_one:.2f} ms; this one {this_one:.2f} ms",
    )


@contextmanager
def _telemetry() -> Generator[ByHand]:
    """Attach the bridge to exporters that discard; yield the telemetry by hand, with equal exporters."""
    spans, logs = discard.CountingSpans(), discard.CountingLogs()
    providers, hand = discard.providers(spans, logs), _discarding()
    AlumiiniInstrumentor().instrument(**providers)
    try:
        yield ByHand(hand)
    finally:
        AlumiiniInstrumentor().uninstrument()
        for provider in (*providers.values(), *hand.values()):
            provider.shutdown()
    assert spans.count, "nothing was instrumented"


def _discarding() -> dict[str, Any]:
    return discard.providers(discard.CountingSpans(), discard.CountingLogs())


@contextmanager
def _instrumented() -> Generator[None]:
    """Instrument the libraries; the bridge is attached already."""
    for instrumentor in INSTRUMENTORS:
        instrumentor().instrument()
    try:
        yield
    finally:
        for instrumentor in INSTRUMENTORS:
            instrumentor().uninstrument()


@contextmanager
def _audit_trail(folder: Path) -> Generator[None]:
    """Give the bridges an audit trail as the distro does: a record waits until it is on the disk."""
    processor = BatchProcessor(discard.AcceptingAudit(), DiskQueue(folder))
    provider = AuditProvider(processor, {"service.name": "gitops"})
    logger = provider.get_logger("benchmark")

    def accept(
        event_name: str, attributes: Mapping[str, Any], body: Mapping[str, Any] | None, *, time_unix_nano: int
    ) -> None:
        pending = logger.emit_async(record_of_event(event_name, attributes, body, time_unix_nano))
        pending.accepted.result()

    set_defaults(Defaults(audit=accept))
    try:
        yield
    finally:
        set_defaults(None)
        provider.shutdown()
