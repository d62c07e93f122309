"""Dagster Pipes: the external process joins the trace, and what it reports becomes events."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import (
    AssetCheckSpec,
    AssetExecutionContext,
    MaterializeResult,
    PipesSubprocessClient,
    PipesTempFileContextInjector,
    PipesTempFileMessageReader,
    asset,
    materialize,
    open_pipes_session,
)
from dagster._core.errors import DagsterExecutionInterruptedError

CHILD = """
import json, os
from dagster_pipes import open_dagster_pipes
names = ("TRACEPARENT", "TRACESTATE", "BAGGAGE", "ASSAY_CORRELATION_ID", "ASSAY_CHILD")
with open_dagster_pipes() as pipes:
    pipes.log.info("in the child")
    pipes.report_custom_message({name: os.environ.get(name) for name in names})
    pipes.report_asset_check("complete", passed=True, asset_key="piped")
    pipes.report_asset_materialization(metadata={"rows": 5})
"""
JOINS = """
import sys
from dagster_pipes import open_dagster_pipes
from opentelemetry import trace
with open_dagster_pipes() as pipes:
    pipes.report_asset_check("complete", passed=True, asset_key="piped")
with trace.get_tracer("child").start_as_current_span("child") as span:
    print(f"{span.get_span_context().trace_id:032x} {span.parent.span_id:016x}", file=open(sys.argv[1], "w"))
"""


def _run(command):
    messages = []

    @asset(check_specs=[AssetCheckSpec("complete", asset="piped")])
    def piped(context: AssetExecutionContext, pipes: PipesSubprocessClient):
        done = pipes.run(command=[*command], context=context)
        messages.extend(done.get_custom_messages())
        return done.get_materialize_result()

    result = materialize([piped], resources={"pipes": PipesSubprocessClient()}, raise_on_error=False)
    return result, messages


def test_a_session_is_a_span_whose_context_is_in_the_child_s_environment(dagster_telemetry):
    result, ((environment),) = _run([sys.executable, "-c", CHILD])

    (session,) = dagster_telemetry.named("flowstone.pipes")
    (step,) = dagster_telemetry.named("flowstone.step")
    assert session.parent.span_id == step.context.span_id
    _, trace_id, span_id, _ = environment["TRACEPARENT"].split("-")
    assert (int(trace_id, 16), int(span_id, 16)) == (session.context.trace_id, session.context.span_id)
    assert environment["ASSAY_CORRELATION_ID"] == result.run_id
    assert environment["ASSAY_CHILD"] == "1"
    assert session.attributes["flowstone.step_key"] == "piped"


def test_messages_become_events_in_the_session_s_trace(dagster_telemetry):
    result, _ = _run([sys.executable, "-c", CHILD])

    messages = dagster_telemetry.events("flowstone.pipes.message")
    assert [each["pipes_method"] for each in messages] == [
        "opened",
        "report_custom_message",
        "report_asset_check",
        "report_asset_materialization",
        "closed",
    ]
    assert {(each["run_id"], each["step_key"]) for each in messages} == {(result.run_id, "piped")}
    check, made = messages[2:4]
    assert (check["asset"], check["check"], check["passed"], check["severity"]) == (
        *("piped", "complete"),
        *(True, "ERROR"),
    )
    assert made["asset"] == "piped"
    (session,) = dagster_telemetry.named("flowstone.pipes")
    records = dagster_telemetry.sdk.logs("flowstone.pipes.message")
    assert {record.log_record.span_id for record in records} == {session.context.span_id}


def test_a_child_that_raises_and_exits_fails_the_session(dagster_telemetry):
    raising = (
        "from dagster_pipes import open_dagster_pipes\nwith open_dagster_pipes(): raise ValueError('bad row')"
    )
    result, _ = _run([sys.executable, "-c", raising])

    assert not result.success
    (failed,) = dagster_telemetry.events("flowstone.pipes.failed")
    assert (failed["error_type"], failed["error_message"]) == ("ValueError", "ValueError: bad row\n")
    (session,) = dagster_telemetry.named("flowstone.pipes")
    assert session.attributes["error.type"].endswith("DagsterPipesExecutionError")


@pytest.mark.slow  # needs the distro, which the package's own tests run without
def test_a_child_under_opentelemetry_instrument_continues_the_trace(dagster_telemetry, tmp_path):
    script, seen = tmp_path / "child.py", tmp_path / "seen"
    script.write_text(JOINS, encoding="utf-8")
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    result, _ = _run([str(instrument), sys.executable, str(script), str(seen)])

    assert result.success
    (session,) = dagster_telemetry.named("flowstone.pipes")
    assert seen.read_text().split() == [f"{session.context.trace_id:032x}", f"{session.context.span_id:016x}"]


def test_a_session_without_a_client_passes_the_context_too(dagster_telemetry):
    @asset
    def piped(context: AssetExecutionContext):
        with open_pipes_session(
            context, PipesTempFileContextInjector(), PipesTempFileMessageReader()
        ) as session:
            environment = {**os.environ, **session.get_bootstrap_env_vars()}
            subprocess.run([sys.executable, "-c", CHILD], env=environment, check=True)
        made.update(session.get_custom_messages()[0])
        return MaterializeResult()

    made = {}
    assert materialize([piped], raise_on_error=False).run_id == made["ASSAY_CORRELATION_ID"]
    (session,) = dagster_telemetry.named("flowstone.pipes")
    assert f"{session.context.span_id:016x}" in made["TRACEPARENT"]


def test_an_interrupted_session_is_canceled(dagster_telemetry):
    @asset
    def piped(context: AssetExecutionContext):
        with open_pipes_session(context, PipesTempFileContextInjector(), PipesTempFileMessageReader()):
            raise DagsterExecutionInterruptedError

    with pytest.raises(DagsterExecutionInterruptedError):
        materialize([piped])

    (session,) = dagster_telemetry.named("flowstone.pipes")
    assert session.status.is_ok or session.status.is_unset
    assert "error.type" not in session.attributes


def test_dagster_s_variables_stay(dagster_telemetry):
    @asset
    def piped(context: AssetExecutionContext):
        with open_pipes_session(
            context, PipesTempFileContextInjector(), PipesTempFileMessageReader()
        ) as session:
            names.append(set(session.get_bootstrap_env_vars()) - {"TRACEPARENT", "BAGGAGE", "TRACESTATE"})
            if hasattr(session, "get_per_writer_bootstrap_env_vars"):  # not in Dagster 1.11
                names.extend(set(each) for each in session.get_per_writer_bootstrap_env_vars())
            arguments.extend(session.get_bootstrap_cli_arguments())
        return MaterializeResult()

    names, arguments = [], []
    materialize([piped])

    variables = {"DAGSTER_PIPES_CONTEXT", "DAGSTER_PIPES_MESSAGES", "ASSAY_CHILD", "ASSAY_CORRELATION_ID"}
    assert names[0] == variables
    for each in names[1:]:
        assert each - {"TRACEPARENT", "BAGGAGE", "TRACESTATE"} == variables
        assert "TRACEPARENT" in each
    assert sorted(arguments) == ["--dagster-pipes-context", "--dagster-pipes-messages"]
