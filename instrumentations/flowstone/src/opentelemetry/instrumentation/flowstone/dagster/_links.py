"""Span links: to an earlier attempt at a step, to the steps whose outputs it reads, and between assets.

The spans may belong to other processes and other runs. Dagster stores tags with each event of a step
(`DagsterEvent.logging_tags`), which its user interface does not show. The process that executes a step adds
the trace context of its spans to the tags of the events that start a step or materialize an asset. Any other
process reads the context from the event log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._plan import Target
from opentelemetry.instrumentation.flowstone.dagster._trace import RETRY_OF, context_in
from opentelemetry.trace import Link, Span, SpanContext

from assay.instrumentation import Foreign, guarded
from assay.semconv import attributes as keys

INPUT, MADE_FROM = "input", "made_from"
"""Values of a link's attribute `flowstone.relation`."""
LINKS_LIMIT = 100
"""Links of a span with one relation; OpenTelemetry's SDK drops those beyond 128."""
REMEMBERED_LIMIT = 10_000
"""Spans of each kind that a process remembers; older ones are read from the event log again."""
READ_LIMIT = 1000
"""Events that one look at the event log reads."""
_STARTS = ("STEP_START", "STEP_RESTARTED")
_POINTER = "dagster/input_event_pointer/"
"""Prefix of the tags in which a materialization has the storage ids of the events that it was made from."""

Found: TypeAlias = "tuple[SpanContext, dict[str, str]] | None"
"""The context of a materialization's span and what identifies it; None if it has no recorded span."""


class SpanContexts:
    """The contexts of the spans of steps and materializations: remembered, else read from the event log."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, str], SpanContext | None] = {}
        self._attempts: dict[tuple[str, str, int], SpanContext] = {}
        self._made: dict[tuple[str, str, str | None], SpanContext] = {}
        self._read: dict[str, None] = {}
        self._events: dict[int, Found] = {}

    def remember_step(self, run_id: str, step_key: str, attempt: int, span: Span) -> None:
        """Remember the span of an attempt at a step, from 1; it is the latest."""
        _put(self._steps, (run_id, step_key), span.get_span_context())
        _put(self._attempts, (run_id, step_key, attempt), span.get_span_context())

    def remember_materialization(self, run_id: str, target: Target, span: Span) -> None:
        """Remember the span of a materialization."""
        _put(self._made, (run_id, *target), span.get_span_context())

    @guarded
    def links_of_step(self, context: Foreign) -> list[Link]:
        """Return the links of an attempt that is about to start.

        Args:
            context: Dagster's step context.
        """
        earlier = self._earlier_attempt(context)
        links = [] if earlier is None else [Link(earlier, {keys.FLOWSTONE_RELATION: RETRY_OF})]
        for read_run, read_step in list(_inputs_of(context))[:LINKS_LIMIT]:
            found = self._step(context.instance, read_run, read_step)
            if found is not None:
                described = {keys.FLOWSTONE_RUN_ID: read_run, keys.FLOWSTONE_STEP_KEY: read_step}
                links.append(Link(found, {keys.FLOWSTONE_RELATION: INPUT, **described}))
        return links

    @guarded
    def links_of_materialization(self, context: Foreign, materialization: Foreign) -> list[Link]:
        """Return the links of a materialization to those that Dagster records it was made from.

        Args:
            context: Dagster's context of the step that materializes.
            materialization: Dagster's `AssetMaterialization`.
        """
        pointers = {
            tag.removeprefix(_POINTER): value
            for tag, value in (materialization.tags or {}).items()
            if tag.startswith(_POINTER) and value.isdecimal()
        }
        return [
            Link(found, {keys.FLOWSTONE_RELATION: MADE_FROM, **described})
            for name, pointer in list(pointers.items())[:LINKS_LIMIT]
            for found, described in self._made_from(context, materialization, name, int(pointer))
        ][:LINKS_LIMIT]

    def _earlier_attempt(self, context: Foreign) -> SpanContext | None:
        run_id, step_key, attempts = context.run_id, context.step.key, context.previous_attempt_count
        # At a first attempt too: a run that is resumed starts its open steps again.
        if attempts == 0 and run_id in self._read:
            return self._steps.get((run_id, step_key))
        remembered = self._attempts.get((run_id, step_key, attempts))
        if remembered is not None:
            return remembered
        self._steps.pop((run_id, step_key), None)  # an earlier one: another process made the last attempt
        return self._step(context.instance, run_id, step_key)

    def _step(self, instance: Foreign, run_id: str, step_key: str) -> SpanContext | None:
        place = run_id, step_key
        if place not in self._steps:
            self._read_steps(instance, run_id)
            if place not in self._steps:
                _put(self._steps, place, None)
        return self._steps[place]

    def _read_steps(self, instance: Foreign, run_id: str) -> None:
        from dagster import DagsterEventType  # noqa: PLC0415 - Dagster is imported by then

        _put(self._read, run_id, None)
        kinds = {DagsterEventType(kind) for kind in _STARTS}
        found = instance.get_records_for_run(run_id, of_type=kinds, limit=READ_LIMIT, ascending=False)
        for record in found.records:  # the latest attempt first
            event = record.event_log_entry.dagster_event
            recorded = context_in(event.logging_tags)
            if recorded is not None:
                self._steps.setdefault((run_id, event.step_key), recorded)

    def _made_from(
        self, context: Foreign, materialization: Foreign, name: str, pointer: int
    ) -> Iterable[tuple[SpanContext, dict[str, str]]]:
        """Yield the upstream materializations of one asset.

        Args:
            context: Dagster's step context.
            materialization: What was made from them.
            name: The upstream asset.
            pointer: Storage id of the last event of the upstream asset, of whichever partition.
        """
        from dagster import AssetKey  # noqa: PLC0415 - Dagster is imported by then

        key = AssetKey.from_user_string(name)
        partitions = _partitions_read(context, materialization, key)
        if partitions is None:
            version = (context.input_asset_records or {}).get(key)
            run_id = "" if version is None else version.run_id
            remembered = self._made.get((run_id, name, None))
            if remembered is not None:
                yield remembered, _described(run_id, name, None)
            else:
                yield from self._event(context.instance, key, pointer)
            return
        unseen: list[str] = []
        for partition in partitions:
            remembered = self._made.get((context.run_id, name, partition))
            if remembered is not None:
                yield remembered, _described(context.run_id, name, partition)
            else:
                unseen.append(partition)
        if unseen:
            yield from _latest(context.instance, key, unseen)

    def _event(
        self, instance: Foreign, key: Foreign, storage_id: int
    ) -> Iterator[tuple[SpanContext, dict[str, str]]]:
        if storage_id not in self._events:
            _put(self._events, storage_id, next(_found(instance, key, storage_ids=[storage_id]), None))
        found = self._events[storage_id]
        if found is not None:
            yield found


def _put(memory: dict[Any, Any], key: object, value: object) -> None:
    """Add to a bounded memory; the oldest member makes room."""
    if key not in memory and len(memory) >= REMEMBERED_LIMIT:
        del memory[next(iter(memory))]
    memory[key] = value


def _inputs_of(context: Foreign) -> Iterator[tuple[str, str]]:
    """Yield the run and the key of each step whose output a step reads, or waits for, each once."""
    seen: set[str] = set()
    for step_input in context.step.step_inputs:
        for handle in step_input.source.step_output_handle_dependencies:
            if handle.step_key not in seen:
                seen.add(handle.step_key)
                yield _run_of_output(context, handle), handle.step_key


def _run_of_output(context: Foreign, handle: Foreign) -> str:
    """Return the run whose output a step reads: a re-execution reads those of earlier runs."""
    executed = context.dagster_run.step_keys_to_execute
    if context.dagster_run.parent_run_id is not None and executed and handle.step_key not in executed:
        state = context.get_known_state().parent_state
        while state is not None:
            if handle in state.produced_outputs:
                return str(state.run_id)
            state = state.get_parent_state()
    return str(context.run_id)


def _partitions_read(context: Foreign, materialization: Foreign, key: Foreign) -> list[str] | None:
    """Return the partitions of an upstream asset that a materialization was made from.

    None if the upstream asset has no partitions. Empty in a step of several partitions: Dagster does not
    record which of them was made from which.
    """
    name = context.job_def.asset_layer.get_node_input_name(context.node_handle, key)
    if not name or not context.has_asset_partitions_for_input(name):
        return None
    if materialization.partition is not None:
        read = context.partition_key_range
        if read.start != read.end:
            return []
    subset = context.asset_partitions_subset_for_input(name, require_valid_partitions=False)
    return [str(partition) for partition in subset.get_partition_keys()][:LINKS_LIMIT]


def _latest(
    instance: Foreign, key: Foreign, partitions: list[str]
) -> Iterator[tuple[SpanContext, dict[str, str]]]:
    """Yield the latest materialization of each partition."""
    seen: set[str] = set()
    for found, described in _found(instance, key, asset_partitions=partitions):
        partition = described[keys.FLOWSTONE_PARTITION]
        if partition not in seen:
            seen.add(partition)
            yield found, described


def _found(instance: Foreign, key: Foreign, **chosen: object) -> Iterator[tuple[SpanContext, dict[str, str]]]:
    """Yield the spans of materializations in the event log, latest first."""
    from dagster import AssetRecordsFilter  # noqa: PLC0415 - Dagster is imported by then

    records = instance.fetch_materializations(AssetRecordsFilter(key, **chosen), limit=READ_LIMIT).records
    for record in records:
        event = record.event_log_entry.dagster_event
        recorded = context_in(event.logging_tags)
        if recorded is not None:
            yield recorded, _described(record.run_id, asset_name(key), event.partition)


def _described(run_id: str, name: str, partition: str | None) -> dict[str, str]:
    described = {keys.FLOWSTONE_RUN_ID: run_id, keys.FLOWSTONE_ASSET: name}
    return described if partition is None else {**described, keys.FLOWSTONE_PARTITION: partition}
