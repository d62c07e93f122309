"""Sends the records of a store, and asks the log for the receipts of those that a Collector took."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from assay.audit._entry import Entry, request_of
from assay.audit._receipt import AuditReceipt
from assay.audit._store import Sent, Store
from assay.audit.errors import ExportError, RejectedError

RESEND_AFTER = 60.0
"""Seconds after which a record that the log does not have is sent again; doubled with each time."""
LONGEST_RESEND = 3600.0
_ASKED = 512  # receipts in one request


class Receipts(NamedTuple):
    """The log's answer about records.

    Args:
        stored: Receipts by record id: mappings with `integrity_hash` and `sink_timestamp`.
        quarantined: Reasons by record id, of records that the sink has put into quarantine.
    """

    stored: Mapping[str, Mapping[str, Any]]
    quarantined: Mapping[str, str]


class AuditExporter(Protocol):
    """Hands records over to a Collector or a sink."""

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Return the receipts once all records are accepted; raise `ExportError` if they are not."""
        ...

    def shutdown(self) -> None:
        """Close the connections."""
        ...


class ReceiptSource(Protocol):
    """Knows which records are in the log."""

    def receipts(self, record_ids: Sequence[str]) -> Receipts:
        """Return what the log has of these records; raise `ExportError` if it does not respond."""
        ...


class Outcomes(Protocol):
    """Learns what became of records."""

    def on_sent(self, record_ids: Iterable[str]) -> None:
        """Note that a Collector has accepted records."""
        ...

    def on_confirmed(self, receipts: Iterable[AuditReceipt]) -> None:
        """Note that records are in the log, or with the receiver if there is no source of receipts."""
        ...

    def on_rejected(self, record_id: str, error: ExportError) -> None:
        """Note that a record was rejected, and is set aside."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """Sends records, and forgets them once they are confirmed.

    Args:
        exporter: Sends them.
        source: Confirms them where the exporter's answer does not; None: whoever answered has them.
        outcomes: Learns what became of them.
    """

    exporter: AuditExporter
    source: ReceiptSource | None
    outcomes: Outcomes

    def send(self, store: Store, entries: Sequence[Entry]) -> None:
        """Send records of a store in one request. If a record is rejected, send the others without it.

        Raises:
            ExportError: The endpoint did not accept them. They stay in the store.
        """
        try:
            receipts = self.exporter.export(request_of(entries))
        except RejectedError as error:
            if len(entries) == 1:
                self._reject(store, entries[0].receipt.record_id, error)
                return
            middle = len(entries) // 2
            self.send(store, entries[:middle])
            self.send(store, entries[middle:])
            return
        ours = {entry.receipt.record_id: entry.receipt for entry in entries}
        given = {receipt.get("record_id", ""): receipt for receipt in receipts}
        if self.source is not None and not ours.keys() <= given.keys():
            store.mark_sent(ours.keys() - given.keys(), time.time())
            self.outcomes.on_sent(ours.keys() - given.keys())
            ours = {record_id: receipt for record_id, receipt in ours.items() if record_id in given}
        self._confirm(store, ours, given)

    def confirm(self, store: Store) -> None:
        """Ask for the receipts of the records that were sent, and let those that are missing wait again.

        Raises:
            ExportError: The source of receipts did not respond.
        """
        position = 0
        while self.source is not None and (sent := store.sent(_ASKED, position)):
            position = sent[-1].position
            answer = self.source.receipts([one.record_id for one in sent])
            ours = {one.record_id: AuditReceipt(one.record_id, one.integrity_hash) for one in sent}
            known = {record_id: ours[record_id] for record_id in ours.keys() & answer.stored.keys()}
            self._confirm(store, known, answer.stored)
            for record_id in (ours.keys() & answer.quarantined.keys()) - known.keys():
                reason = f"the sink has put the record into quarantine: {answer.quarantined[record_id]}"
                self._reject(store, record_id, RejectedError(reason, is_final=True))
            missing = [one for one in sent if one.record_id not in answer.stored.keys() | answer.quarantined]
            if late := [one.record_id for one in missing if _is_late(one)]:
                store.resend(late)
            if len(missing) == len(sent):
                return  # the Collector has not delivered the oldest yet

    def _confirm(
        self, store: Store, ours: Mapping[str, AuditReceipt], given: Mapping[str, Mapping[str, Any]]
    ) -> None:
        confirmed: list[AuditReceipt] = []
        for record_id, receipt in ours.items():
            found = given.get(record_id, {})
            digest = found.get("integrity_hash", receipt.integrity_hash)
            if digest != receipt.integrity_hash:
                reason = f"the log has another record under the id {record_id}: it was altered on its way"
                self._reject(store, record_id, RejectedError(reason, is_final=True))
                continue
            stamp = found.get("sink_timestamp")
            confirmed.append(replace(receipt, sink_timestamp=None if stamp is None else int(stamp)))
        store.remove(receipt.record_id for receipt in confirmed)
        self.outcomes.on_confirmed(confirmed)

    def _reject(self, store: Store, record_id: str, error: ExportError) -> None:
        store.reject(record_id, str(error))
        self.outcomes.on_rejected(record_id, error)


def _is_late(sent: Sent) -> bool:
    """Return whether a record was sent so long ago that the Collector may have lost it."""
    age = time.time() - sent.sent_at
    # A negative age: the clock was set back.
    return age < 0 or age >= min(RESEND_AFTER * 2 ** (sent.attempts - 1), LONGEST_RESEND)
