"""Resources: `flowstone.resource.health_check`.

A resource that has a method `health_check` or `check_health` is checked when a run has set it up, and then on
an interval (`ASSAY_DAGSTER_HEALTH_INTERVAL`, in seconds) until the run tears it down. It is unhealthy if the
method returns False or raises. Any other resource is healthy if it could be set up.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, cast

from opentelemetry import context as otel_context
from opentelemetry.instrumentation.flowstone.dagster._failures import message_of, user_error
from opentelemetry.instrumentation.flowstone.errors import error as emit_error
from opentelemetry.instrumentation.flowstone.resources import resource_health

from assay.instrumentation import Call, Foreign, guarded
from assay.telemetry.spans import qualified_name

INTERVAL_VARIABLE = "ASSAY_DAGSTER_HEALTH_INTERVAL"
INTERVAL = 60.0
"""Seconds between two checks of a resource."""
METHODS = ("health_check", "check_health")
"""Names of the methods with which a resource declares a check."""


class HealthChecks:
    """Checks one resource on an interval, in a thread of its own.

    Args:
        name: The resource's key.
        check: Its check.
        run_id: The run that has set it up.
    """

    def __init__(self, name: str, check: Callable[[], Any], run_id: str | None) -> None:
        self._name = name
        self._check = check
        self._run_id = run_id
        self._is_over = threading.Event()
        self._context = otel_context.get_current()

    def start(self) -> None:
        """Check once, and start the thread."""
        self._check_once()
        threading.Thread(target=self._run, name=f"assay-health-{self._name}", daemon=True).start()

    def stop(self) -> None:
        """End the thread after the check that may be under way."""
        self._is_over.set()

    def _run(self) -> None:
        otel_context.attach(self._context)
        while not self._is_over.wait(_interval()):
            self._check_once()

    @guarded
    def _check_once(self) -> None:
        try:
            healthy = self._check() is not False
        except Exception as error:  # noqa: BLE001 - a check that raises is the user's way to fail it
            resource_health(self._name, healthy=False, run_id=self._run_id)
            _emit_error(self._name, error, self._run_id)
            return
        resource_health(self._name, healthy=healthy, run_id=self._run_id)


def set_up(call: Call) -> Foreign:
    """Wrap `single_resource_event_generator(context, resource_name, resource_def)`.

    It yields the resource once it is set up, and continues when it is torn down. A failure to tear it down
    does not concern its health at the start, and is left to the run.
    """
    return _checked(call(), call)


def _checked(generator: Foreign, call: Call) -> Foreign:
    name, run = call.argument("resource_name"), call.argument("context").run
    run_id = run.run_id if run is not None else None
    try:
        initialized = next(generator)
    except Exception as error:
        guarded(resource_health)(name, healthy=False, run_id=run_id)
        _emit_error(name, error, run_id)
        raise
    checks = _begin(name, initialized, run_id)
    try:
        yield initialized
        yield from generator
    finally:
        if checks is not None:
            checks.stop()


@guarded
def _begin(name: str, initialized: Foreign, run_id: str | None) -> HealthChecks | None:
    kind = cast("Foreign", type(initialized.resource))
    # Asked of the type, so that no `__getattr__` of the user runs.
    method = next((each for each in METHODS if callable(getattr(kind, each, None))), None)
    if method is None:
        resource_health(name, healthy=True, run_id=run_id)
        return None
    checks = HealthChecks(name, getattr(initialized.resource, method), run_id)
    checks.start()
    return checks


@guarded
def _emit_error(name: str, error: Exception, run_id: str | None) -> None:
    cause = user_error(error)
    emit_error(
        qualified_name(type(cause)),
        message_of(cause),
        run_id=run_id,
        origin="resource",
        subject=f"resource:{name}",
        resource=name,
    )


def _interval() -> float:
    try:
        given = float(os.environ.get(INTERVAL_VARIABLE, ""))
    except ValueError:
        return INTERVAL
    return given if given > 0 else INTERVAL
