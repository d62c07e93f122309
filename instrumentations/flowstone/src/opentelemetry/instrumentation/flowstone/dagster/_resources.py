"""Resources: `flowstone.resource.health_check` for each that a run sets up."""

from __future__ import annotations

from opentelemetry.instrumentation.flowstone.dagster._failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.resources import resource_health

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry.spans import qualified_name


def set_up(call: Call) -> Foreign:
    """Wrap `single_resource_event_generator(context, resource_name, resource_def)`.

    It yields the resource once it is set up, and continues when it is torn down. A failure to tear it down
    does not concern its health at the start, and is left to the run.
    """
    return _checked(call(), call)


def _checked(generator: Foreign, call: Call) -> Foreign:
    try:
        resource = next(generator)
    except Exception as error:
        _emit(call, error)
        raise
    _emit(call, None)
    yield resource
    yield from generator


@guarded
def _emit(call: Call, error: Exception | None) -> None:
    run = call.argument("context").run
    run_id = run.run_id if run is not None else None
    resource = call.argument("resource_name")
    resource_health(resource, healthy=error is None, run_id=run_id)
    if error is not None:
        cause = user_error(error)
        emit_error(
            qualified_name(type(cause)),
            message_of(cause),
            run_id=run_id,
            origin="resource",
            subject=f"resource:{resource}",
            resource=resource,
        )
