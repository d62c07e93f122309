"""Who asks for a run or a change: by the webserver, by a command, and from a sensor or schedule."""

import base64
import getpass
import json
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterInstance, asset, job, materialize, op

WIPE = """
mutation { wipeAssets(assetPartitionRanges: [{assetKey: {path: ["seed"]}}]) { __typename } }
"""
HERE = Path(__file__).parent


@asset
def seed():
    return 1


@op
def works():
    return 1


@job
def nightly():
    works()


def _token(claims):
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{payload}.c2ln"


@pytest.fixture
def client(dagster_telemetry):
    """Return a client of a real webserver, whose instance has one asset."""
    app = pytest.importorskip("dagster_webserver.app")
    testing = pytest.importorskip("starlette.testclient")
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import EmptyWorkspaceTarget

    with (
        DagsterInstance.local_temp() as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace,
    ):
        materialize([seed], instance=instance)
        webserver = app.create_app_from_workspace_process_context(workspace)
        yield testing.TestClient(webserver, client=("192.0.2.7", 1), headers={"user-agent": "browser/1"})


@pytest.mark.parametrize(
    ("settings", "headers", "actor"),
    [
        ({"ASSAY_DAGSTER_USER_HEADER": "x-user"}, {"x-user": "ines@example.com"}, "ines@example.com"),
        (
            {"ASSAY_DAGSTER_USER_HEADER": "x-token", "ASSAY_DAGSTER_USER_CLAIM": "email"},
            {"x-token": _token({"email": "omar@example.com"})},
            "omar@example.com",
        ),
        (
            {"ASSAY_DAGSTER_USER_HEADER": "x-token", "ASSAY_DAGSTER_USER_CLAIM": "email"},
            {"x-token": "?"},
            None,
        ),
        ({}, {"x-user": "mallory"}, None),
    ],
)
def test_a_request_to_the_webserver_has_its_user(client, dagster_telemetry, settings, headers, actor):
    with pytest.MonkeyPatch.context() as environment:
        for name, value in settings.items():
            environment.setenv(name, value)
        response = client.post("/graphql", json={"query": WIPE}, headers=headers)

    assert response.json()["data"]["wipeAssets"]["__typename"] == "AssetWipeSuccess"
    (wiped,) = dagster_telemetry.events("flowstone.asset.wiped")
    assert wiped.get("actor") == actor
    assert (wiped["client_ip"], wiped["user_agent"]) == ("192.0.2.7", "browser/1")


@pytest.mark.parametrize(
    ("tags", "cause"),
    [
        ({"user": "ines@example.com"}, {"actor": "ines@example.com", "actor_type": "user"}),
        (
            {"dagster/schedule_name": "at_two", "dagster/tick": "7"},
            {"actor": "schedule:at_two", "schedule": "at_two", "tick_id": "7"},
        ),
        ({"dagster/sensor_name": "files"}, {"actor": "sensor:files", "sensor": "files"}),
        ({"dagster/backfill": "abc"}, {"actor": "backfill:abc", "backfill_id": "abc"}),
        (
            {"dagster/from_automation_condition": "true"},
            {"actor": "automation_condition", "automation": True, "actor_type": "system"},
        ),
    ],
)
def test_what_dagster_records_as_cause_is_in_the_events_of_the_run(dagster_telemetry, tags, cause):
    nightly.execute_in_process(tags=tags)

    for phase in ("start", "stop"):
        (event,) = dagster_telemetry.events(f"flowstone.run.{phase}")
        assert cause.items() <= event.items()


def test_the_assets_and_the_partition_of_a_run_are_named(dagster_telemetry):
    with DagsterInstance.ephemeral() as instance:
        result = materialize([seed], instance=instance, tags={"dagster/partition": "red"})
        asset_keys = instance.get_run_by_id(result.run_id).asset_selection

    (started,) = dagster_telemetry.events("flowstone.run.start")
    assert started["partition"] == "red"
    assert started.get("assets") == (["seed"] if asset_keys else None)


def test_who_cancelled_a_run_is_recorded_and_not_who_requested_it(dagster_telemetry):
    from dagster import in_process_executor

    @op
    def interrupted(context):
        context.instance.report_run_canceling(context.run)
        context.instance.add_run_tags(context.run_id, {"assay/canceled_by": "omar@example.com"})
        raise KeyboardInterrupt

    @job(executor_def=in_process_executor)
    def stopped():
        interrupted()

    stopped.execute_in_process(raise_on_error=False, tags={"user": "ines@example.com"})
    (canceled,) = dagster_telemetry.events("flowstone.run.canceled")
    assert canceled["actor"] == "omar@example.com"


@pytest.mark.slow
def test_a_command_has_the_user_of_the_operating_system(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    code = (
        "import sys; from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor as D;"
        "D().instrument(); from dagster._cli import main; sys.argv[0] = 'dagster'; main()"
    )
    command = [sys.executable, "-c", code, "job", "execute", "-m", "commanded", "-j", "commanded"]
    environment = {"DAGSTER_HOME": str(home), "PATH": "/usr/bin", "USER": getpass.getuser()}
    done = subprocess.run(
        command, cwd=HERE / "projects", env=environment, capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    with DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
    assert run.tags["assay/actor"] == getpass.getuser()
