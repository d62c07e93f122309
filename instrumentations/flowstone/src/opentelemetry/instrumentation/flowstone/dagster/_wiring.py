"""The functions of Dagster that are patched, and their wrappers."""

from __future__ import annotations

from functools import cache

from opentelemetry.instrumentation.flowstone.dagster import (
    _automation,
    _checks,
    _dbt,
    _deployment,
    _event_log,
    _io,
    _launched,
    _logs,
    _other_events,
    _pipes,
    _pools,
    _requester,
    _resources,
    _runs,
    _steps,
)

from assay.instrumentation import (
    Call,
    ChildTarget,
    Foreign,
    Hooks,
    LibraryInstrumentor,
    Patches,
    RelayReceiver,
    Target,
)

EXECUTION = "dagster._core.execution"
STEP_SEQUENCE = Target(f"{EXECUTION}.plan.execute_plan", "dagster_event_sequence_for_step")
STEP_COMPUTE = Target(f"{EXECUTION}.plan.execute_plan", "core_dagster_event_sequence_for_step")
STORE_OUTPUT = Target(f"{EXECUTION}.plan.execute_step", "_store_output")
LOAD_INPUT = Target(f"{EXECUTION}.plan.inputs", "_load_input_with_input_manager")
GET_IO_MANAGER = Target(f"{EXECUTION}.context.system", "StepExecutionContext.get_io_manager")
GET_PATH = Target("dagster._core.storage.upath_io_manager", "UPathIOManager._get_path")
GET_PATHS = Target("dagster._core.storage.upath_io_manager", "UPathIOManager._get_paths_for_partitions")
SET_UP_RESOURCE = Target(f"{EXECUTION}.resources_init", "single_resource_event_generator")
PREPARE_RUN = Target(f"{EXECUTION}.context_creation_job", "PlanOrchestrationContextManager.__init__")
PREPARE_STEP = Target(f"{EXECUTION}.context_creation_job", "PlanExecutionContextManager.__init__")
ITERATE_RUN = Target(f"{EXECUTION}.api", "ExecuteRunWithPlanIterable.__iter__")
CREATE_RUN = Target("dagster._core.instance", "DagsterInstance.create_run")
CREATE_RUN_IN_DOMAIN = Target("dagster._core.instance.runs.run_domain", "RunDomain.create_run")
"""Newer versions create the runs of jobs here, not always by way of the instance."""
STORE_EVENT = Target("dagster._core.instance", "DagsterInstance.handle_new_event")
CLAIM_SLOT = Target(f"{EXECUTION}.plan.instance_concurrency_context", "InstanceConcurrencyContext.claim")
REFER_TO_STEP = Target(f"{EXECUTION}.plan.external_step", "step_context_to_step_run_ref")
RUN_LAUNCHED_STEP = Target(f"{EXECUTION}.plan.external_step", "run_step_from_ref")
EVALUATE_SENSOR = Target("dagster._core.definitions.sensor_definition", "SensorDefinition.evaluate_tick")
CREATE_TICK = Target("dagster._core.instance", "DagsterInstance.create_tick")
UPDATE_TICK = Target("dagster._core.instance", "DagsterInstance.update_tick")
ADD_BACKFILL = Target("dagster._core.instance", "DagsterInstance.add_backfill")
UPDATE_BACKFILL = Target("dagster._core.instance", "DagsterInstance.update_backfill")
HEARTBEAT = Target("dagster._core.instance", "DagsterInstance.add_daemon_heartbeat")
LOAD_LOCATION = Target("dagster._core.workspace.context", "WorkspaceProcessContext._load_location")
LOG = Target("dagster._core.log_manager", "DagsterLogHandler.emit")
SERVE_GRAPHQL = Target("dagster_webserver.graphql", "GraphQLServer.execute_graphql_request")
PIPES = "dagster._core.pipes.context"
FOLLOW_PIPES = Target(PIPES, "PipesMessageHandler.handle_messages")
HANDLE_PIPES_MESSAGE = Target(PIPES, "PipesMessageHandler.handle_message")
PIPES_VARIABLES = Target(PIPES, "PipesSession.get_bootstrap_env_vars")
PIPES_VARIABLES_FOR_EACH = Target(PIPES, "PipesSession.get_per_writer_bootstrap_env_vars", is_optional=True)
EXECUTE_CHILD = Target("dagster._core.executor.multiprocess", "execute_child_process_command")
START_RUN = Target("dagster._grpc.server", "start_run_in_subprocess")

TARGETS = (
    STEP_SEQUENCE,
    STEP_COMPUTE,
    STORE_OUTPUT,
    LOAD_INPUT,
    GET_IO_MANAGER,
    GET_PATH,
    GET_PATHS,
    SET_UP_RESOURCE,
    PREPARE_RUN,
    PREPARE_STEP,
    ITERATE_RUN,
    CREATE_RUN,
    CREATE_RUN_IN_DOMAIN,
    STORE_EVENT,
    CLAIM_SLOT,
    REFER_TO_STEP,
    RUN_LAUNCHED_STEP,
    EVALUATE_SENSOR,
    CREATE_TICK,
    UPDATE_TICK,
    ADD_BACKFILL,
    UPDATE_BACKFILL,
    HEARTBEAT,
    LOAD_LOCATION,
    LOG,
    FOLLOW_PIPES,
    HANDLE_PIPES_MESSAGE,
    PIPES_VARIABLES,
    PIPES_VARIABLES_FOR_EACH,
    EXECUTE_CHILD,
    START_RUN,
)
"""Everything of Dagster that is patched; its webserver (`SERVE_GRAPHQL`) is a distribution of its own."""


def wire(instrumentor: LibraryInstrumentor, patches: Patches, hooks: Hooks) -> None:
    """Patch Dagster.

    Args:
        instrumentor: Instruments child processes too.
        patches: Takes the patches.
        hooks: The user's hooks.
    """
    steps = _steps.Steps(hooks)
    transfers = _io.Transfers(steps)
    runs = _runs.Runs(hooks)
    checks, ticks = _checks.Checks(steps), _automation.Ticks()
    reports = {
        **runs.reports(),
        **steps.reports(),
        **checks.reports(),
        **_other_events.reports(),
        **_pools.reports(),
    }
    events = _event_log.EventLog(_dbt.with_nodes(reports), steps.marks())
    patches.wrap(STORE_EVENT, events.store, events.concerns)
    patches.wrap(STEP_SEQUENCE, steps.sequence)
    patches.wrap(STEP_COMPUTE, steps.compute)
    patches.wrap(STORE_OUTPUT, transfers.store)
    patches.wrap(LOAD_INPUT, transfers.load)
    patches.wrap(GET_IO_MANAGER, transfers.manager, transfers.is_storing)
    patches.wrap(GET_PATH, transfers.path)
    patches.wrap(GET_PATHS, transfers.paths)
    patches.wrap(SET_UP_RESOURCE, _resources.set_up)
    patches.wrap(PREPARE_RUN, runs.remember)
    patches.wrap(PREPARE_STEP, runs.remember_step)
    patches.wrap(ITERATE_RUN, runs.iterate)
    patches.wrap(CREATE_RUN, runs.create)
    patches.wrap(CREATE_RUN_IN_DOMAIN, runs.create)
    patches.wrap(CLAIM_SLOT, _pools.Claims().claim)
    patches.wrap(REFER_TO_STEP, _launched.refer)
    patches.wrap(RUN_LAUNCHED_STEP, _launched.run)
    patches.wrap(EVALUATE_SENSOR, _automation.poll)
    patches.wrap(SERVE_GRAPHQL, _requester.serve)
    patches.wrap(CREATE_TICK, ticks.create)
    patches.wrap(UPDATE_TICK, ticks.update)
    patches.wrap(ADD_BACKFILL, _deployment.add_backfill)
    patches.wrap(UPDATE_BACKFILL, _deployment.Backfills().update)
    patches.wrap(HEARTBEAT, _deployment.Daemons().heartbeat)
    patches.wrap(LOAD_LOCATION, _deployment.load_location)
    lines = _logs.Lines()
    patches.on_import(LOG.module, lines.remember)
    patches.wrap(LOG, lines.forward, lines.concerns)
    patches.wrap(FOLLOW_PIPES, _pipes.follow_session)
    patches.wrap(HANDLE_PIPES_MESSAGE, _pipes.handle_message)
    patches.wrap(PIPES_VARIABLES, _pipes.add_context)
    patches.wrap(PIPES_VARIABLES_FOR_EACH, _pipes.add_context_for_each)

    @cache
    def receiver() -> RelayReceiver:
        # Creates a metric, which only a process with children needs.
        return RelayReceiver(instrumentor.meter_provider)

    def execute_child(call: Call) -> Foreign:
        # Imported when Dagster calls it: the module imports Dagster.
        from opentelemetry.instrumentation.flowstone.dagster import _processes  # noqa: PLC0415

        return _processes.execute_child(call, instrumentor, receiver(), steps.died)

    patches.wrap(EXECUTE_CHILD, execute_child)
    # Dagster gives it to multiprocessing, which pickles it.
    patches.replace(START_RUN, lambda original: ChildTarget(original, instrumentor))
