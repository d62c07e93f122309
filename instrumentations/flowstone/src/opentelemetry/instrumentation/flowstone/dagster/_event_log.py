"""Dagster's event log: the facts that Dagster has stored, in whichever process stores them.

Outcomes, materializations and all other facts are reported from here and nowhere else: a process reports an
event exactly when it has stored it. So each fact is reported once, although several processes take part in a
run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, TypeAlias

from opentelemetry.instrumentation.flowstone.dagster._launched import is_discarded

from assay.instrumentation import Call, Foreign, guarded

RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELED = "PIPELINE_SUCCESS", "PIPELINE_FAILURE", "PIPELINE_CANCELED"
RUN_ENDS = frozenset({RUN_SUCCEEDED, RUN_FAILED, RUN_CANCELED})
NOT_ALWAYS_STORED = "ASSET_FAILED_TO_MATERIALIZE"
"""Dagster drops this event if its storage cannot store it."""
NS_PER_SECOND = 1_000_000_000

Mark: TypeAlias = Callable[[Any], object]
"""Adds to an `EventLogEntry` that is about to be stored."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event that Dagster has stored.

    Args:
        instance: Dagster's instance.
        entry: Dagster's `EventLogEntry`.
        event: Its `DagsterEvent`.
        run_before: Dagster's record of the run before an event that ends it; None for other events.
    """

    instance: Any
    entry: Any
    event: Any
    run_before: Any = None

    @property
    def run_id(self) -> str:
        """The run's id; empty for an event outside of runs."""
        return str(self.entry.run_id or "")

    @property
    def job(self) -> str:
        """Name of the run's job."""
        return str(self.event.job_name)

    @property
    def step_key(self) -> str:
        """Key of the step; empty for an event outside of steps."""
        return str(self.event.step_key or "")

    @property
    def kind(self) -> str:
        """Type of the event, as Dagster stores it."""
        return str(self.event.event_type_value)

    @property
    def time(self) -> int:
        """When it happened, in ns since 1970."""
        return int(self.entry.timestamp * NS_PER_SECOND)


def first_end_of(instance: Foreign, run_id: str) -> Foreign:
    """Return the first event log entry that ends a run; None if the run has not ended."""
    found = instance.get_records_for_run(run_id, of_type=_types(RUN_ENDS), limit=1).records
    return found[0].event_log_entry if found else None


def before_end(instance: Foreign, run_id: str, kinds: Iterable[str]) -> Iterator[Foreign]:
    """Yield a run's event log entries of these types that come before the first one that ends the run.

    Two processes may end a run and one of its steps at the same time, and each reads afterwards what the
    other has stored. The order of the entries is the same for both.
    """
    entries = instance.all_logs(run_id, of_type=_types({*kinds, *RUN_ENDS}))
    return takewhile(lambda entry: entry.dagster_event.event_type_value not in RUN_ENDS, entries)


def is_after_end(stored: Stored) -> bool:
    """Return whether the run had ended when Dagster stored the event of a step.

    The process that ended the run has reported what its steps left unfinished.
    """
    if first_end_of(stored.instance, stored.run_id) is None:
        return False
    place = stored.entry.timestamp, stored.event.step_key
    earlier = before_end(stored.instance, stored.run_id, {stored.kind})
    return all((entry.timestamp, entry.dagster_event.step_key) != place for entry in earlier)


def _types(kinds: Iterable[str]) -> set[Any]:
    from dagster import DagsterEventType  # noqa: PLC0415 - Dagster is imported by then

    return {DagsterEventType(kind) for kind in kinds}


Report: TypeAlias = Callable[[Stored], object]
"""Reports an event that has been stored."""


class EventLog:
    """Calls the report of each event that this process stores.

    Args:
        reports: The reports, by the type of event. An exception of a report is logged and does not propagate.
        marks: What is called with an event before it is stored, by the type of event.
    """

    def __init__(self, reports: Mapping[str, Report], marks: Mapping[str, Mark]) -> None:
        self._reports = {kind: guarded(report) for kind, report in reports.items()}
        self._marks = {kind: guarded(mark) for kind, mark in marks.items()}

    def concerns(self, instance: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Return whether a call of `DagsterInstance.handle_new_event` has an event with a report or a mark.

        Most events have none, so this is all that they cost.
        """
        del instance
        if kwargs.get("batch_metadata") is not None:
            return True
        event = _entry(args, kwargs).dagster_event
        if event is None:
            return False
        return event.event_type_value in self._reports or event.event_type_value in self._marks

    def store(self, call: Call) -> Foreign:
        """Wrap `DagsterInstance.handle_new_event`, which stores an event, or a batch when it is complete.

        It gets the calls that `concerns` selects.
        """
        entry, batch = _entry(call.args, call.kwargs), call.kwargs.get("batch_metadata")
        event = entry.dagster_event
        kind = "" if event is None else event.event_type_value
        if kind in self._marks:
            self._marks[kind](entry)
        if batch is not None:
            return self._store_batched(call, entry, batch)
        report = self._reports.get(kind)
        if report is None or is_discarded(call.instance):
            return call()
        if kind == NOT_ALWAYS_STORED and not call.instance.should_store_event(entry):
            return call()
        before = None
        if kind in RUN_ENDS:
            before = call.instance.get_run_record_by_id(entry.run_id)
        result = call()
        report(Stored(call.instance, entry, event, before))
        return result

    def _store_batched(self, call: Call, entry: Foreign, batch: Foreign) -> Foreign:
        buffered = call.instance._event_buffer  # noqa: SLF001 - events wait there until their batch is complete
        waiting = [*buffered.get(batch.id, ()), entry]
        result = call()
        if batch.id not in buffered:
            for each in waiting:
                report = each.dagster_event and self._reports.get(each.dagster_event.event_type_value)
                if report:
                    report(Stored(call.instance, each, each.dagster_event))
        return result


def _entry(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Foreign:
    """Return the argument `event` of `DagsterInstance.handle_new_event`."""
    return args[0] if args else kwargs["event"]
