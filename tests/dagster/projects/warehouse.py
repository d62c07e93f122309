"""A Dagster project with one job for each thing that Dagster can record.

Plain Dagster: nothing in this file imports, configures or mentions telemetry. A job's name is the name of its
scenario in the tests.
"""

import os
import sys
import time
from pathlib import Path

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetExecutionContext,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetOut,
    AssetSpec,
    AutomationCondition,
    AutomationConditionSensorDefinition,
    BackfillPolicy,
    ConfigurableResource,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    Definitions,
    DynamicOut,
    DynamicOutput,
    ExpectationResult,
    Failure,
    IOManager,
    MaterializeResult,
    ObserveResult,
    Out,
    Output,
    PipesSubprocessClient,
    RetryPolicy,
    RunRequest,
    ScheduleDefinition,
    SkipReason,
    StaticPartitionsDefinition,
    asset,
    asset_check,
    define_asset_job,
    failure_hook,
    graph_asset,
    in_process_executor,
    job,
    multi_asset,
    multi_or_in_process_executor,
    observable_source_asset,
    op,
    sensor,
)
from dagster._core.execution.plan.external_step import local_external_step_launcher

REGIONS = StaticPartitionsDefinition(["east", "north", "west"])
MARKS = Path(os.environ.get("WAREHOUSE_MARKS", "."))
"""Folder of files by which steps and tests signal each other."""


# Plain assets, values passed between them


@asset
def orders() -> list[int]:
    return [1, 2, 3]


@asset
def revenue(orders: list[int]) -> int:
    return sum(orders)


# One step, several assets: the shape of dbt, Fivetran and Airbyte


@multi_asset(
    specs=[AssetSpec("customers"), AssetSpec("invoices"), AssetSpec("payments")],
    can_subset=True,
)
def extract(context: AssetExecutionContext):
    for key in sorted(context.selected_asset_keys):
        yield MaterializeResult(asset_key=key, metadata={"dagster/row_count": 3})


@multi_asset(
    specs=[AssetSpec("first"), AssetSpec("second"), AssetSpec("third")],
)
def half_way(context: AssetExecutionContext):
    yield MaterializeResult(asset_key="first")
    raise RuntimeError("the source closed the connection")


@multi_asset(outs={"found": AssetOut(is_required=False), "missing": AssetOut(is_required=False)})
def scan():
    yield Output(1, output_name="found")


# Partitions


@asset(partitions_def=REGIONS)
def regional(context: AssetExecutionContext) -> str:
    return context.partition_key


@asset(partitions_def=REGIONS)
def regional_twice(regional: str) -> str:
    return regional * 2


@asset(deps=[regional_twice])
def world() -> int:
    return 3


@asset(partitions_def=REGIONS, backfill_policy=BackfillPolicy.single_run())
def ranged(context: AssetExecutionContext) -> None:
    context.log.info("partitions %s", context.partition_keys)


# Ops, graphs, dynamic outputs


@op
def fetch() -> int:
    return 1


@op
def double(number: int) -> int:
    return number * 2


@graph_asset
def doubled():
    return double(fetch())


@op(out=DynamicOut())
def split():
    for number in range(3):
        yield DynamicOutput(number, mapping_key=f"part_{number}")


@op
def add(numbers: list[int]) -> int:
    return sum(numbers)


@job
def dynamic():
    add(split().map(double).collect())


@op(out=Out(int))
def write_log(context):
    context.log_event(AssetMaterialization("logged", metadata={"rows": 2}))
    context.log_event(AssetMaterialization("logged_part", partition="east"))
    context.log_event(AssetObservation("seen", metadata={"age": 1}))
    yield ExpectationResult(success=True, label="not_empty")
    yield Output(1)


@job
def logged():
    write_log()


@failure_hook
def on_failure(context):
    context.log.info("hook ran")


@op
def fail_op():
    raise ValueError("no such table")


@op
def after_failure(number):
    return number


@job(hooks={on_failure})
def hooked():
    after_failure(fail_op())


# Retries and failures


@asset(retry_policy=RetryPolicy(max_retries=2))
def flaky(context: AssetExecutionContext) -> int:
    if context.retry_number == 0:
        raise ConnectionError("closed")
    return 1


@asset(retry_policy=RetryPolicy(max_retries=1))
def hopeless() -> int:
    raise ConnectionError("closed")


@asset
def refused() -> int:
    raise Failure("the ledger does not balance", allow_retries=False)


@asset
def after_refused(refused: int) -> int:
    return refused


class BrokenIOManager(IOManager):
    def handle_output(self, context, obj):
        raise OSError("disk full")

    def load_input(self, context):
        raise OSError("disk gone")


@asset(io_manager_key="broken_io")
def unstored() -> int:
    return 1


# Checks


@asset(check_specs=[AssetCheckSpec("inline", asset="checked")])
def checked():
    return MaterializeResult(check_results=[AssetCheckResult(check_name="inline", passed=True)])


@asset_check(asset=checked)
def passes() -> AssetCheckResult:
    return AssetCheckResult(passed=True, metadata={"rows": 3})


@asset_check(asset=checked)
def warns() -> AssetCheckResult:
    return AssetCheckResult(passed=False, severity=AssetCheckSeverity.WARN)


@asset_check(asset=checked)
def fails() -> AssetCheckResult:
    return AssetCheckResult(passed=False)


@asset_check(asset=checked)
def raises() -> AssetCheckResult:
    raise RuntimeError("the check itself is broken")


@asset
def gate() -> int:
    return 1


@asset_check(asset=gate, blocking=True)
def blocks() -> AssetCheckResult:
    return AssetCheckResult(passed=False)


@asset
def behind_gate(gate: int) -> int:
    return gate


# Observations, Pipes


@observable_source_asset
def watched():
    return ObserveResult(metadata={"age": 2})


PIPED = """
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    pipes.log.info("in the child")
    pipes.report_custom_message({"stage": "loaded"})
    pipes.report_asset_check("positive", passed=True, asset_key="piped")
    pipes.report_asset_materialization(metadata={"rows": 5})
"""
PIPED_IN_VAIN = """
from dagster_pipes import open_dagster_pipes
with open_dagster_pipes() as pipes:
    raise ValueError("no rows")
"""


@asset(check_specs=[AssetCheckSpec("positive", asset="piped")])
def piped(context: AssetExecutionContext, pipes: PipesSubprocessClient):
    return pipes.run(command=[sys.executable, "-c", PIPED], context=context).get_materialize_result()


@asset
def piped_in_vain(context: AssetExecutionContext, pipes: PipesSubprocessClient):
    return pipes.run(command=[sys.executable, "-c", PIPED_IN_VAIN], context=context).get_materialize_result()


# Steps that a step launcher executes in a process of their own


@multi_asset(
    specs=[AssetSpec("launched"), AssetSpec("launched_too", deps=["launched"])],
    required_resource_keys={"launcher"},
)
def launched_step():
    yield MaterializeResult(asset_key="launched", metadata={"dagster/row_count": 3})
    yield MaterializeResult(asset_key="launched_too")


@asset(required_resource_keys={"launcher"}, retry_policy=RetryPolicy(max_retries=1), deps=["launched"])
def launched_flaky(context: AssetExecutionContext) -> MaterializeResult:
    if context.retry_number == 0:
        raise ConnectionError("closed")
    return MaterializeResult()


# Pools


@op(pool="narrow")
def through_a_pool() -> None:
    time.sleep(0.1)


@job
def pooled():
    through_a_pool.alias("one_at_a_time")()
    through_a_pool.alias("another_at_a_time")()


# Runs that something ends from outside


def _wait(context: AssetExecutionContext) -> None:
    """Report the process, and wait until it is killed, canceled or released."""
    (MARKS / f"{context.run.job_name}.pid").write_text(str(os.getpid()))
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (MARKS / f"{context.run.job_name}.go").exists():
        time.sleep(0.1)


@asset
def before_wait() -> int:
    return 1


@asset(deps=[before_wait])
def waits(context: AssetExecutionContext) -> int:
    _wait(context)
    return 1


@asset
def once_broken(context: AssetExecutionContext) -> int:
    if "dagster/parent_run_id" not in context.run.tags:
        raise ConnectionError("closed")
    return 1


def _job(name: str, *keys: str, **options):
    return define_asset_job(name, selection=[*keys], **options)


# A resource that declares a check


class Ledger(ConfigurableResource):
    """A resource whose check is called on an interval."""

    def health_check(self) -> bool:
        return True


@asset
def balanced(context: AssetExecutionContext, ledger: Ledger) -> int:
    _wait(context)
    return 1


# Automation


@sensor(job_name="sensed", default_status=DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def new_files(context):
    if context.cursor:
        yield SkipReason("nothing new")
        return
    context.update_cursor("1")
    yield RunRequest(run_key="one")


@sensor(job_name="sensed", default_status=DefaultSensorStatus.RUNNING, minimum_interval_seconds=3600)
def broken_sensor(context):
    raise LookupError("the bucket is missing")


@asset(automation_condition=AutomationCondition.eager(), deps=[AssetKey("gate_of_automation")])
def automated() -> int:
    return 1


@asset
def gate_of_automation() -> int:
    return 1


JOBS = [
    _job("plain", "orders", "revenue", executor_def=multi_or_in_process_executor),
    _job("downstream", "revenue"),
    _job("all_of_several", "customers", "invoices", "payments"),
    _job("one_of_several", "invoices"),
    _job("half", "first", "second", "third"),
    _job("optional", "found", "missing"),
    _job("partitioned", "regional", "regional_twice", partitions_def=REGIONS),
    _job("mixed", "regional", "regional_twice", "world"),
    _job("range", "ranged", partitions_def=REGIONS),
    _job("graph", "doubled"),
    _job("retried", "flaky"),
    _job("failed", "hopeless", "refused", "after_refused"),
    _job("io_failed", "unstored"),
    _job("checks", "checked"),
    _job("blocked", "gate", "behind_gate"),
    _job("observed", "watched"),
    _job("pipes_child", "piped"),
    _job("pipes_failed", "piped_in_vain"),
    _job("launched", "launched", "launched_too", "launched_flaky"),
    _job("killed", "before_wait", "waits"),
    _job("killed_alone", "before_wait", "waits"),
    _job("too_long", "before_wait", "waits"),
    _job("canceled", "before_wait", "waits"),
    _job("resumed", "before_wait", "waits"),
    _job("run_retried", "once_broken"),
    _job("healthy", "balanced"),
    _job("sensed", "orders"),
    _job("scheduled", "orders"),
    _job("upstream_of_automation", "gate_of_automation"),
]

defs = Definitions(
    assets=[
        *(orders, revenue, extract, half_way, scan, regional, regional_twice, world, ranged, doubled),
        *(
            flaky,
            hopeless,
            refused,
            after_refused,
            unstored,
            checked,
            gate,
            behind_gate,
            watched,
            piped,
            piped_in_vain,
        ),
        *(launched_step, launched_flaky),
        *(before_wait, waits, balanced, once_broken, automated, gate_of_automation),
    ],
    asset_checks=[passes, warns, fails, raises, blocks],
    jobs=[*JOBS, dynamic, logged, hooked, pooled],
    sensors=[
        new_files,
        broken_sensor,
        AutomationConditionSensorDefinition(
            "automation",
            target=[automated],
            default_status=DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=1,
        ),
    ],
    schedules=[
        ScheduleDefinition(
            name="each_minute",
            job_name="scheduled",
            cron_schedule="* * * * *",
            default_status=DefaultScheduleStatus.RUNNING,
        )
    ],
    # With the daemon most runs are in process, because each child process takes seconds to start.
    executor=in_process_executor if "WAREHOUSE_IN_PROCESS" in os.environ else multi_or_in_process_executor,
    resources={
        "pipes": PipesSubprocessClient(),
        "broken_io": BrokenIOManager(),
        "ledger": Ledger(),
        "launcher": local_external_step_launcher.configured({"scratch_dir": str(MARKS)}),
    },
)
