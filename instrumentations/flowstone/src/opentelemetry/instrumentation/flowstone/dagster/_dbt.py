"""Nodes of dbt: `flowstone.dbt_node`, a span for each model, seed, snapshot and test, with dbt's duration.

dagster-dbt runs dbt once in a step, and records each node as a materialization, a check or an observation
whose metadata names the node and how long dbt took for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._event_log import NS_PER_SECOND, Report, Stored
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name

from assay.instrumentation import Foreign, guarded
from assay.telemetry import execute

NODE, SECONDS = "unique_id", "Execution Duration"
"""The entries of metadata that dagster-dbt writes."""
_RECORDS = {
    "ASSET_MATERIALIZATION": "materialization",
    "ASSET_OBSERVATION": "asset_observation",
    "ASSET_CHECK_EVALUATION": None,
}
"""The events, and the parts of their data that have the metadata; None is the data itself."""


def with_nodes(reports: Mapping[str, Report]) -> dict[str, Report]:
    """Return the reports, of which those of events that may come from dbt also report its node."""
    return {kind: _both(report) if kind in _RECORDS else report for kind, report in reports.items()}


def _both(report: Report) -> Report:
    def report_both(stored: Stored) -> None:
        report_node(stored)
        report(stored)

    return report_both


@guarded
def report_node(stored: Stored) -> None:
    """Emit the node of an event, if it has one. Its span ended now, and began as long ago as dbt took."""
    part = _RECORDS[stored.kind]
    recorded = stored.event.event_specific_data
    recorded = recorded if part is None else getattr(recorded, part)
    node, seconds = (_value(recorded, key) for key in (NODE, SECONDS))
    if not isinstance(node, str) or not isinstance(seconds, float):
        return
    execute(
        "flowstone.dbt_node.stop",
        {"duration": int(seconds * NS_PER_SECOND)},
        _describe(stored, recorded, node),
    )


def _describe(stored: Stored, recorded: Foreign, node: str) -> dict[str, Any]:
    return described(
        run_id=stored.run_id or None,
        step_key=stored.step_key or None,
        dbt_node=node,
        asset=asset_name(recorded.asset_key),
        check=getattr(recorded, "check_name", None),
        passed=getattr(recorded, "passed", None),
    )


def _value(recorded: Foreign, key: str) -> object:
    return getattr(recorded.metadata.get(key), "value", None)
