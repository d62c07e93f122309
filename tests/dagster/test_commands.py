"""Dagster's commands, through the real Collector."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ASSETS_ALONE = "__ASSET_JOB"
"""Dagster's name of the job of `dagster asset materialize`."""


@pytest.fixture(scope="module")
def commands(tmp_path_factory, deployed, collector_binary):
    root = tmp_path_factory.mktemp("commands") / "root"
    with deployed(root, binary=collector_binary, WAREHOUSE_IN_PROCESS="1") as deployment:
        for command in (
            ("job", "execute", "-m", "warehouse", "-j", "dynamic"),
            ("asset", "materialize", "-m", "warehouse", "--select", "customers"),
            ("asset", "materialize", "-m", "warehouse", "--select", "regional", "--partition", "north"),
        ):
            assert deployment.run("dagster", *command, log="commands.log") == 0
        deployment.settle()
        yield deployment


@pytest.mark.parametrize("job", ["dynamic", ASSETS_ALONE])
def test_command_arrives_as_dagster_recorded_it(commands, job):
    assert set(commands.statuses(job)) == {"SUCCESS"}
    commands.check(job)
