"""Resources: `flowstone.resource.health_check` for each that a run sets up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster.failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.errors import error as tell_error
from opentelemetry.instrumentation.flowstone.resources import resource_health
from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from assay.telemetry.spans import qualified_name


def set_up(
    wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Foreign:
    """Wrap `single_resource_event_generator(context, resource_name, resource_def)`.

    It yields the resource once it is set up, and goes on when it is torn down: what fails then is no news of
    the resource's health at its start, and is left to the run.
    """
    generator = wrapped(*args, **kwargs)
    if not is_instrumentation_enabled():
        return generator
    return _checked(generator, args, kwargs)


def _checked(generator: Foreign, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Foreign:
    try:
        resource = next(generator)
    except Exception as error:
        _tell(args, kwargs, error)
        raise
    _tell(args, kwargs, None)
    yield resource
    yield from generator


@guarded
def _tell(args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception | None) -> None:
    context = args[0] if args else kwargs["context"]
    name = args[1] if len(args) > 1 else kwargs["resource_name"]
    run_id = context.run.run_id if context.run is not None else None
    resource_health(name, healthy=error is None, run_id=run_id)
    if error is not None:
        cause = user_error(error)
        tell_error(qualified_name(type(cause)), message_of(cause), run_id=run_id)
