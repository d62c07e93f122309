"""Executors whose steps run in processes of their own: Celery and Docker.

Celery is real: Redis is the broker. Docker's launcher, executor and API client are real too, and
`container_engine.py` runs the commands of the containers as processes.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

import pytest

from assay.cli import _otlp_lines as otlp_lines
from assay.instrumentation.testing import free_port, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DOCKER = """
run_launcher: {module: dagster_docker, class: DockerRunLauncher, config: {image: "warehouse:1"}}
"""


@pytest.fixture(scope="module")
def python(environment):
    """Return the interpreter of an environment with the executors, which come after each Dagster."""
    return environment("dagster-celery", "dagster-docker", "redis")


@contextmanager
def running(*command, log, **options):
    """Run a process for the block."""
    with (
        log.open("ab") as output,
        subprocess.Popen(command, stdout=output, stderr=output, **options) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def celery(root, deployed, python):
    """Run Redis, and a worker under `opentelemetry-instrument`."""
    port = free_port()
    url = f"redis://127.0.0.1:{port}/0"
    root.mkdir()
    settings = root / "celery.yaml"
    settings.write_text(f"execution: {{config: {{broker: '{url}', backend: '{url}'}}}}\n", encoding="utf-8")
    variables = {
        "SPREAD_EXECUTOR": "celery",
        "SPREAD_BROKER": url,
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",  # each process sends its metrics when it ends
    }
    redis = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", root)
    with (
        running(*redis, log=root / "redis.log"),
        deployed(root, python=python, **variables) as deployment,
        deployment.start(
            "dagster-celery", "worker", "start", "-A", "dagster_celery.app", "-y", settings, log="worker.log"
        ) as worker,
    ):
        yield deployment, [worker]


@contextmanager
def docker(root, deployed, python):
    """Run the engine with Docker's API."""
    port = free_port()
    variables = {"SPREAD_EXECUTOR": "docker", "DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
    with deployed(root, DOCKER, python=python, **variables) as deployment, engine(deployment, port):
        yield deployment, []


@contextmanager
def engine(deployment, port):
    program = deployment.projects / "container_engine.py"
    environment = {**deployment.environment, "ENGINE_PYTHON": str(deployment.python)}
    log = deployment.root / "containers.log"
    with running(sys.executable, program, str(port), log, log=log, env=environment, cwd=deployment.projects):
        yield


@pytest.fixture(scope="module", params=[celery, docker], ids=lambda each: each.__name__)
def spread(request, tmp_path_factory, deployed, python):
    """Return the deployment after its sensor's run has ended."""
    root = tmp_path_factory.mktemp(request.param.__name__) / "root"
    with request.param(root, deployed, python) as (deployment, workers):
        daemon = deployment.start("dagster-daemon", "run", "-m", "spread", log="daemon.log")
        try:
            wait_until(lambda: deployment.statuses("spread")[:1] in (["SUCCESS"], ["FAILURE"]), timeout=500)
        finally:
            deployment.exits = [deployment.interrupt(each) for each in (daemon, *workers)]
        deployment.settle()
        yield deployment


def test_run_arrives_as_dagster_recorded_it(spread):
    assert spread.statuses("spread") == ["SUCCESS"]
    spread.check()


def test_tick_run_and_steps_are_one_trace(spread):
    (run,) = spread.instance.get_runs()
    spans = [
        span for line in otlp_lines.read_lines(spread.folder.traces) for _, span in otlp_lines.spans(line)
    ]
    found = [(span, otlp_lines.attributes(span)) for span in spans]
    ticks = {span["traceId"] for span, has in found if run.run_id in str(has.get("flowstone.run_ids"))}
    steps = [
        span for span, has in found if has.get("flowstone.step_key") and span["name"] == "flowstone.step"
    ]
    assert len(steps) == 4  # revenue is tried twice
    assert {span["traceId"] for span in steps} == ticks


def test_no_process_warns_of_us(spread):
    assert spread.complaints() == []
