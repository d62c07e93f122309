"""Runs of one machine: in process, in child processes, and by Dagster's commands."""

import json

import pytest
from click.testing import CliRunner

from assay.cli._comparison import read_recorded
from assay.cli._comparison.facts import SPAN
from assay.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STATUSES = {
    "plain": "SUCCESS",
    "downstream": "SUCCESS",
    "all_of_several": "SUCCESS",
    "one_of_several": "SUCCESS",
    "half": "FAILURE",
    "optional": "SUCCESS",
    "partitioned": "SUCCESS",
    "range": "SUCCESS",
    "graph": "SUCCESS",
    "dynamic": "SUCCESS",
    "logged": "SUCCESS",
    "hooked": "FAILURE",
    "retried": "SUCCESS",
    "failed": "FAILURE",
    "io_failed": "FAILURE",
    "checks": "FAILURE",
    "blocked": "FAILURE",
    "observed": "SUCCESS",
    "pooled": "SUCCESS",
    "pipes_child": "SUCCESS",
    "launched": "SUCCESS",
    "pipes_failed": "FAILURE",
}
"""The jobs, and how Dagster ends them."""
SPAWNED = ("plain", "half")
FORKED = ("pooled", "downstream", "range", "pipes_child", "dynamic", "retried", "failed", "checks")
"""The jobs that also run in child processes; a spawned one takes seconds to start."""


@pytest.fixture(scope="module")
def in_process(tmp_path_factory, deployed):
    with deployed(tmp_path_factory.mktemp("in_process")) as deployment:
        assert deployment.run("python", "run_jobs.py", "in_process", *STATUSES, log="run.log") == 0
        deployment.settle()
        yield deployment


@pytest.fixture(scope="module")
def in_children(tmp_path_factory, deployed):
    with deployed(tmp_path_factory.mktemp("in_children")) as deployment:
        deployment.instance.event_log_storage.set_concurrency_slots("narrow", 1)
        assert deployment.run("python", "run_jobs.py", "spawn", *SPAWNED, log="run.log") == 0
        assert deployment.run("python", "run_jobs.py", "forkserver", *FORKED, log="run.log") == 0
        deployment.settle()
        yield deployment


@pytest.mark.parametrize("job", STATUSES)
def test_in_process_run_arrives_as_dagster_recorded_it(in_process, job):
    assert in_process.statuses(job) == [STATUSES[job]]
    in_process.check(job)


def test_in_process_runs_arrive_as_dagster_recorded_them(in_process):
    in_process.check()


@pytest.mark.parametrize("job", [*SPAWNED, *FORKED])
def test_run_in_child_processes_arrives_as_dagster_recorded_it(in_children, job):
    assert in_children.statuses(job) == [STATUSES[job]]
    in_children.check(job)


def test_runs_in_child_processes_arrive_as_dagster_recorded_them(in_children):
    in_children.check()


def test_comparison_covers_links_within_and_between_runs(in_children):
    facts = read_recorded(in_children.instance, {"downstream", "dynamic", "retried"})[SPAN]
    linked = {fact.detail.split(" of ")[0] for fact in facts if fact.kind == "link"}
    assert {"flaky retry_of ", "add input double[part_2]", "made_from orders"} <= linked


def shown(deployment, *arguments):
    """Return what `assay show --json` prints of the far end."""
    folder = str(deployment.folder.root)
    result = CliRunner().invoke(main, ["show", "--keep", folder, "--since", "1d", "--json", *arguments])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_show_lists_the_runs_as_dagster_recorded_them(in_process):
    recorded = {
        run.run_id: (run.job_name, run.status.value.lower()) for run in in_process.instance.get_runs()
    }
    listed = {run["id"]: (run["name"], run["outcome"]) for run in shown(in_process)["runs"]}
    assert listed == recorded


@pytest.mark.parametrize("job", ["plain", "failed"])
def test_show_prints_the_trace_the_proven_records_and_the_cdevents_of_a_run(in_process, job):
    (run,) = [each for each in in_process.instance.get_runs() if each.job_name == job]
    found = shown(in_process, run.run_id)
    names = {span["id"]: span["name"] for span in found["spans"]}
    parents = {span["name"]: names.get(span["parent"], "") for span in found["spans"]}
    assert parents["flowstone.step"] == f"RUN {job}"
    assert parents["flowstone.materialization"] == "flowstone.step"
    end = {"SUCCESS": "stop", "FAILURE": "exception"}[run.status.value]
    failed = {span["name"] for span in found["spans"] if span["error"]}
    assert (f"RUN {job}" in failed) == (end == "exception")
    records = found["audit"]["entries"]
    assert [record["event"] for record in records] == ["flowstone.run.start", f"flowstone.run.{end}"]
    for record in records:
        assert record["target"] == run.run_id
        assert record["proof"]["state"] == "verified"
        assert record["proof"]["leaf"] < record["proof"]["size"]
    (finished,) = [each for each in found["cdevents"] if ".pipelinerun.finished." in each["type"]]
    assert (finished["subject"], finished["outcome"]) == (run.run_id, run.status.value.lower())
    assert {each["state"] for each in found["cdevents"]} == {"delivered"}
