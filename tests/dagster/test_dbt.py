"""A real dbt project, which dagster-dbt runs on DuckDB."""

import json
import shutil
import subprocess

import pytest

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._comparison import read_recorded
from assay.cli._comparison.facts import SPAN
from assay.semconv import attributes as keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory, deployed, environment):
    """Return the deployment after Dagster has materialized the project once."""
    root = tmp_path_factory.mktemp("shop") / "root"
    # A package that dbt-core 1.12 needs is downloaded from elsewhere when it is installed.
    python = environment("dagster-dbt", "dbt-core<1.12", "dbt-duckdb")
    project = root / "shop_dbt"
    # `dbt --version`, which dagster-dbt calls, asks for the newest version: this proxy refuses at once.
    variables = {"SHOP_PROJECT": str(project), "HTTPS_PROXY": "http://127.0.0.1:1"}
    with deployed(root, python=python, **variables) as deployment:
        shutil.copytree(deployment.projects / "shop_dbt", project)
        parse = (python.with_name("dbt"), "parse")
        subprocess.run(parse, cwd=project, env=deployment.environment, timeout=120, check=True)
        command = ("asset", "materialize", "-m", "shop", "--select", "*")
        assert deployment.run("dagster", *command, log="shop.log") == 0
        deployment.settle()
        yield deployment


def test_everything_but_lines_arrives_as_dagster_recorded_it(shop):
    # dagster-dbt logs by `get_dagster_logger`: Dagster puts the run and the step in front of such a line.
    assert [each for each in shop.differences() if not each.startswith("log events: line ")] == []


def results_of_dbt(shop):
    """Return the status of each node in dbt's own record of the command."""
    (path,) = (shop.root / "shop_dbt/target").glob("*/run_results.json")
    results = json.loads(path.read_text("utf-8"))["results"]
    return {each["unique_id"]: each["status"] for each in results}


def test_comparison_covers_each_node_of_dbt_with_its_duration(shop):
    facts = read_recorded(shop.instance)[SPAN]
    nodes = {fact.detail.split()[0] for fact in facts if fact.kind == "dbt_node"}
    assert len(nodes) == 5
    assert nodes == set(results_of_dbt(shop))


def test_results_of_the_nodes_are_those_of_dbt_s_own_record(shop):
    spans = [span for line in otlp_lines.read_lines(shop.folder.traces) for _, span in otlp_lines.spans(line)]
    nodes = [span for span in spans if otlp_lines.span_event(span) == "flowstone.dbt_node"]
    passed = {span["name"]: otlp_lines.attributes(span).get(keys.FLOWSTONE_PASSED) for span in nodes}
    meaning = {"success": None, "pass": True, "warn": False}
    assert passed == {node: meaning[status] for node, status in results_of_dbt(shop).items()}


def test_no_process_warns_of_us(shop):
    assert shop.complaints() == []
