"""Steps that a step launcher executes in another process, such as on a Spark cluster.

The other process has an instance of Dagster that is thrown away. It sends the step's events to the run's
process, which stores and reports them. The other process reports nothing that its own instance stores: else
each fact would be reported twice. The spans of IO managers in the other process are children of the step's
span.
"""

from __future__ import annotations

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.flowstone.dagster._trace import TAGS, context_of, with_current

from assay.instrumentation import Call, Foreign, follow, guarded

_DISCARDED = "_flowstone_discarded"


def is_discarded(instance: Foreign) -> bool:
    """Return whether nobody reads what an instance stores."""
    return getattr(instance, _DISCARDED, False)


def refer(call: Call) -> Foreign:
    """Wrap `step_context_to_step_run_ref`: what describes a step to the other process has our context."""
    reference = call()
    return _with_context(reference) or reference


def run(call: Call) -> Foreign:
    """Wrap `run_step_from_ref`, with which the other process executes the step."""
    instance, reference = call.argument("instance"), call.argument("step_run_ref")
    if instance.is_ephemeral:
        setattr(instance, _DISCARDED, True)
    return follow(call(), _LaunchedStep(reference.dagster_run))


class _LaunchedStep:
    """A step in the other process."""

    def __init__(self, dagster_run: Foreign) -> None:
        self._tags = dagster_run.tags

    def start(self) -> None:
        """Join the trace of the process that launched the step."""
        otel_context.attach(context_of(self._tags))

    def item(self, item: object) -> None:
        """Ignore the events."""

    def end(self, error: BaseException | None) -> None:
        """Do nothing: the context ends with the generator."""


@guarded
def _with_context(reference: Foreign) -> Foreign:
    dagster_run = reference.dagster_run
    tags = {key: value for key, value in dagster_run.tags.items() if key not in TAGS}
    return reference._replace(dagster_run=dagster_run.with_tags(with_current(tags)))
