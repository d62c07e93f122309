"""Asset checks: `flowstone.asset_check.evaluated`, and `.exception` for a check that has no result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.instrumentation.flowstone._metadata import described
from opentelemetry.instrumentation.flowstone.dagster._event_log import Report, Stored
from opentelemetry.instrumentation.flowstone.dagster._names import asset_name
from opentelemetry.instrumentation.flowstone.dagster._steps import Steps

from assay.telemetry import execute

EVALUATED = "ASSET_CHECK_EVALUATION"


class Checks:
    """The reports of what Dagster stores about asset checks.

    Args:
        steps: The steps that run.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def reports(self) -> Mapping[str, Report]:
        """Return the reports, by the type of event."""
        return {EVALUATED: self._report_evaluation}

    def _report_evaluation(self, stored: Stored) -> None:
        evaluated = stored.event.event_specific_data
        step = self._steps.running(stored.run_id, stored.step_key)
        measurements: dict[str, Any] = {}
        if step is not None:
            measurements["duration"] = step.duration()
            step.unchecked.discard((asset_name(evaluated.asset_key), evaluated.check_name))
        execute(
            "flowstone.asset_check.evaluated",
            measurements,
            described(
                asset=asset_name(evaluated.asset_key),
                check=evaluated.check_name,
                passed=evaluated.passed,
                severity=evaluated.severity.value,
                blocking=evaluated.blocking,
                partition=getattr(evaluated, "partition", None),
                run_id=stored.run_id or None,
                step_key=stored.step_key or None,
            ),
        )
