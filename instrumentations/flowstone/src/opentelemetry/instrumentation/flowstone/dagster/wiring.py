"""Which function of Dagster's gets which wrapper."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.instrumentation.flowstone.dagster import automation, io, resources, runs, steps, workers
from opentelemetry.instrumentation.flowstone.dagster.foreign import Foreign
from opentelemetry.instrumentation.flowstone.dagster.patching import Patches, Target, Wrapper

EXECUTION = "dagster._core.execution"
STEP_SEQUENCE = Target(f"{EXECUTION}.plan.execute_plan", "core_dagster_event_sequence_for_step")
STORE_OUTPUT = Target(f"{EXECUTION}.plan.execute_step", "_store_output")
LOAD_INPUT = Target(f"{EXECUTION}.plan.inputs", "_load_input_with_input_manager")
GET_IO_MANAGER = Target(f"{EXECUTION}.context.system", "StepExecutionContext.get_io_manager")
GET_PATH = Target("dagster._core.storage.upath_io_manager", "UPathIOManager._get_path")
GET_PATHS = Target("dagster._core.storage.upath_io_manager", "UPathIOManager._get_paths_for_partitions")
SET_UP_RESOURCE = Target(f"{EXECUTION}.resources_init", "single_resource_event_generator")
PREPARE_RUN = Target(f"{EXECUTION}.context_creation_job", "PlanOrchestrationContextManager.__init__")
ITERATE_RUN = Target(f"{EXECUTION}.api", "ExecuteRunWithPlanIterable.__iter__")
CREATE_RUN = Target("dagster._core.instance", "DagsterInstance.create_run")
CREATE_RUN_IN_DOMAIN = Target("dagster._core.instance.runs.run_domain", "RunDomain.create_run")
"""Where newer versions create the runs of jobs, not always by way of the instance."""
REPORT_EVENT = Target("dagster._core.instance", "DagsterInstance.report_dagster_event")
EVALUATE_SENSOR = Target("dagster._core.definitions.sensor_definition", "SensorDefinition.evaluate_tick")
EVALUATE_SCHEDULE = Target(
    "dagster._core.definitions.schedule_definition", "ScheduleDefinition.evaluate_tick"
)
EXECUTE_CHILD = Target("dagster._core.executor.multiprocess", "execute_child_process_command")
START_RUN = Target("dagster._grpc.server", "start_run_in_subprocess")

TARGETS = (
    STEP_SEQUENCE,
    STORE_OUTPUT,
    LOAD_INPUT,
    GET_IO_MANAGER,
    GET_PATH,
    GET_PATHS,
    SET_UP_RESOURCE,
    PREPARE_RUN,
    ITERATE_RUN,
    CREATE_RUN,
    CREATE_RUN_IN_DOMAIN,
    REPORT_EVENT,
    EVALUATE_SENSOR,
    EVALUATE_SCHEDULE,
    EXECUTE_CHILD,
    START_RUN,
)
"""All that is patched."""


def wire(
    materialization_hook: steps.MaterializationHook | None,
    run_hook: runs.RunHook | None,
    establish: workers.Establish,
) -> Patches:
    """Patch Dagster, as far as it is imported, and the rest when it will be; return how to undo it.

    Args:
        materialization_hook: Called for each step that makes something.
        run_hook: Called for each run.
        establish: Called in child processes.
    """
    running = steps.Steps(materialization_hook)
    transfers = io.Transfers(running)
    followed = runs.Runs(run_hook)
    patches = Patches()
    patches.wrap(STEP_SEQUENCE, running.sequence)
    patches.wrap(STORE_OUTPUT, transfers.store)
    patches.wrap(LOAD_INPUT, transfers.load)
    patches.wrap(GET_IO_MANAGER, transfers.manager)
    patches.wrap(GET_PATH, transfers.path)
    patches.wrap(GET_PATHS, transfers.paths)
    patches.wrap(SET_UP_RESOURCE, resources.set_up)
    patches.wrap(PREPARE_RUN, followed.remember)
    patches.wrap(ITERATE_RUN, followed.iterate)
    patches.wrap(CREATE_RUN, followed.create)
    patches.wrap(CREATE_RUN_IN_DOMAIN, followed.create)
    patches.wrap(REPORT_EVENT, followed.report)
    patches.wrap(EVALUATE_SENSOR, automation.poll)
    patches.wrap(EVALUATE_SCHEDULE, automation.tick)
    patches.wrap(EXECUTE_CHILD, _execute_child(establish))
    # A wrapper cannot be pickled for the child process.
    patches.substitute(
        START_RUN, lambda original: partial(workers.start_run, establish, original, workers.is_auto())
    )
    return patches


def _execute_child(establish: workers.Establish) -> Wrapper:
    """Return the wrapper of the module `processes`, which imports Dagster: when Dagster calls it."""

    def call(
        wrapped: Callable[..., Any], _instance: object, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Foreign:
        from opentelemetry.instrumentation.flowstone.dagster.processes import execute_child  # noqa: PLC0415

        return execute_child(establish, wrapped, args, kwargs)

    return call
