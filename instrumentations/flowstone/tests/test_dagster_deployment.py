"""Backfills, daemons, code locations, and the lines of `context.log`."""

import logging

import pytest
from dagster import DagsterInstance, get_dagster_logger, in_process_executor, job, logger, op
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import ModuleTarget
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor


def test_a_backfill_is_requested_and_finishes_once(dagster_telemetry):
    with DagsterInstance.local_temp() as instance:
        backfill = PartitionBackfill(
            backfill_id="abc",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={"user": "ines@example.com"},
            backfill_timestamp=1.0,
        )
        instance.add_backfill(backfill)
        instance.update_backfill(backfill)
        for _ in range(2):
            instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_FAILED))

    (requested,) = dagster_telemetry.events("flowstone.backfill.requested")
    assert (requested["backfill_id"], requested["actor"]) == ("abc", "ines@example.com")
    (finished,) = dagster_telemetry.events("flowstone.backfill.finished")
    assert (finished["backfill_id"], finished["status"]) == ("abc", "failure")
    assert dagster_telemetry.counts("flowstone.backfill.count", "status") == {"failure": 1}


def test_a_backfill_starts_when_its_first_runs_are_requested(dagster_telemetry):
    with DagsterInstance.local_temp() as instance:
        backfill = PartitionBackfill(
            backfill_id="abc",
            status=BulkActionStatus.REQUESTED,
            from_failure=False,
            tags={"user": "ines@example.com"},
            backfill_timestamp=1.0,
        )
        instance.add_backfill(backfill)
        instance.update_backfill(backfill)
        assert dagster_telemetry.events("flowstone.backfill.started") == []
        for partition in ("east", "north"):
            backfill = backfill.with_partition_checkpoint(partition)
            instance.update_backfill(backfill)
        instance.update_backfill(backfill.with_status(BulkActionStatus.CANCELING))

    (started,) = dagster_telemetry.events("flowstone.backfill.started")
    assert (started["backfill_id"], started["actor"]) == ("abc", "ines@example.com")
    (canceling,) = dagster_telemetry.events("flowstone.backfill.canceling")
    assert canceling["backfill_id"] == "abc"
    assert "actor" not in canceling, "who requested it is not who cancels it"


def test_a_daemon_s_error_is_reported_once_though_it_comes_with_each_heartbeat(dagster_telemetry):
    error = SerializableErrorInfo("ConnectionError: away\n", [], "ConnectionError")
    with DagsterInstance.local_temp() as instance:
        for errors in ([], [error], [error]):
            instance.add_daemon_heartbeat(DaemonHeartbeat(1.0, "SENSOR", "1", errors))

    assert [e["healthy"] for e in dagster_telemetry.events("flowstone.daemon.heartbeat")] == [
        True,
        False,
        False,
    ]
    (failed,) = dagster_telemetry.events("flowstone.error")
    assert (failed["subject"], failed["type"]) == ("daemon:SENSOR", "ConnectionError")
    assert dagster_telemetry.counts("flowstone.daemon.healthy", "daemon") == {"SENSOR": 0}


@pytest.mark.slow
def test_a_code_location_that_cannot_be_loaded_is_an_error(dagster_telemetry, tmp_path):
    target = ModuleTarget("no_such_module", None, None, "broken")
    with (
        DagsterInstance.local_temp(str(tmp_path)) as instance,
        WorkspaceProcessContext(instance, target),
    ):
        pass

    (failed,) = dagster_telemetry.events("flowstone.code_location.failed")
    assert failed["code_location"] == "broken"
    (error,) = dagster_telemetry.events("flowstone.error")
    assert error["origin"] == "code_location"


@pytest.fixture
def lines():
    """Return OpenTelemetry's handler and what it exports."""
    handlers = pytest.importorskip("opentelemetry.instrumentation.logging.handler")
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    return handlers.LoggingHandler(logger_provider=provider), exporter


@job(executor_def=in_process_executor)
def talking():
    @op
    def talks(context):
        context.log.info("counted %d rows", 3)

    talks()


def test_the_lines_of_context_log_reach_opentelemetry_s_handler_once(dagster_telemetry, lines):
    handler, exporter = lines
    logging.getLogger().addHandler(handler)
    try:
        talking.execute_in_process()
    finally:
        logging.getLogger().removeHandler(handler)

    found = [each.log_record for each in exporter.get_finished_logs()]
    (line,) = [each for each in found if "rows" in str(each.body)]
    (step,) = dagster_telemetry.named("flowstone.step")
    assert line.body == "counted 3 rows"
    assert (line.trace_id, line.span_id) == (step.context.trace_id, step.context.span_id)


def test_they_reach_it_although_a_framework_removed_it_from_the_root_logger(telemetry, lines):
    handler, exporter = lines
    logging.getLogger().addHandler(handler)
    DagsterInstrumentor().instrument()
    logging.getLogger().removeHandler(handler)  # as Celery does, after it has imported the program
    try:
        talking.execute_in_process()
    finally:
        DagsterInstrumentor().uninstrument()

    bodies = [each.log_record.body for each in exporter.get_finished_logs()]
    assert bodies.count("counted 3 rows") == 1


def test_the_user_s_loggers_get_the_ids_of_the_trace(dagster_telemetry):
    @logger
    def collecting(init_context):
        made = logging.getLogger("collecting")
        made.handlers = [collector]
        made.setLevel(logging.INFO)
        return made

    @op
    def talks(context):
        context.log.info("of the context")
        get_dagster_logger().info("of the library")

    @job(executor_def=in_process_executor, logger_defs={"collecting": collecting})
    def talking():
        talks()

    collector = _Collector()
    talking.execute_in_process(run_config={"loggers": {"collecting": {}}})

    (step,) = dagster_telemetry.named("flowstone.step")
    found = [
        (record.trace_id, record.span_id, record.trace_flags)
        for record in collector.records
        if " of the " in record.getMessage()
    ]
    ids = (f"{step.context.trace_id:032x}", f"{step.context.span_id:016x}", f"{step.context.trace_flags:02x}")
    assert found == [ids, ids]


class _Collector(logging.Handler):
    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)
