"""Executors whose steps run in processes of their own: Celery, Docker and Kubernetes.

Celery is real: Redis is the broker. For Docker and Kubernetes the launcher, the executor and the client are
real, and so is Kubernetes' API server. `container_engine.py` and `job_controller.py` run the commands of the
containers as processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from assay.cli import _otlp_lines as otlp_lines
from assay.instrumentation.testing import free_port, wait_until
from assay.instrumentation.testing.kubernetes import ApiServer, ApiServerNotFoundError, find_api_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DOCKER = """
run_launcher: {module: dagster_docker, class: DockerRunLauncher, config: {image: "warehouse:1"}}
"""
KUBERNETES = """
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    job_image: "warehouse:1"
    service_account_name: dagster
    instance_config_map: dagster-instance
    dagster_home: {home}
    load_incluster_config: false
    kubeconfig_file: {kubeconfig}
"""
KUBECONFIG = """
apiVersion: v1
kind: Config
clusters: [{{name: local, cluster: {{server: "{url}", certificate-authority: {certificate}}}}}]
users: [{{name: admin, user: {{token: {token}}}}}]
contexts: [{{name: local, context: {{cluster: local, user: admin}}}}]
current-context: local
"""


@pytest.fixture(scope="module")
def python(environment):
    """Return the interpreter of an environment with the executors, which come after each Dagster."""
    return environment("dagster-celery", "dagster-docker", "dagster-k8s", "redis")


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


def stop(worker):
    """Stop Celery's worker by SIGTERM, its warm shutdown; after Ctrl-C Dagster's command kills it at once."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, parent, *_ = path.read_text(errors="replace").rpartition(")")[2].split()
            if int(parent) == worker.pid:
                os.kill(int(path.parent.name), signal.SIGTERM)
    assert worker.wait(120) == 0


@contextmanager
def docker(root, deployed, python):
    """Run the engine with Docker's API."""
    port = free_port()
    variables = {"SPREAD_EXECUTOR": "docker", "DOCKER_HOST": f"tcp://127.0.0.1:{port}"}
    with (
        deployed(root, DOCKER, python=python, **variables) as deployment,
        containers(deployment, "container_engine.py", port),
    ):
        yield deployment, []


@contextmanager
def kubernetes(root, deployed, python, api_server):
    """Run the API server, and the controller of its Jobs."""
    kubeconfig = root / "kubeconfig"
    with ApiServer(api_server, root / "kubernetes") as server:
        kubeconfig.write_text(
            KUBECONFIG.format(url=server.url, certificate=server.certificate, token=server.tokens["admin"]),
            encoding="utf-8",
        )
        configuration = KUBERNETES.format(home=root / "home", kubeconfig=kubeconfig)
        with (
            deployed(root, configuration, python=python, SPREAD_EXECUTOR="kubernetes") as deployment,
            containers(deployment, "job_controller.py", kubeconfig),
        ):
            yield deployment, []


@contextmanager
def containers(deployment, program, argument):
    """Run a program that runs containers as processes."""
    environment = {**deployment.environment, "ENGINE_PYTHON": str(deployment.python)}
    log = deployment.root / "containers.log"
    command = (sys.executable, deployment.projects / program, str(argument), log)
    with running(*command, log=log, env=environment, cwd=deployment.projects):
        yield


@pytest.fixture(scope="module")
def api_server(skip_or_fail, unlimited_memory):
    """Return the binary of a Kubernetes API server; the first run builds it, which takes minutes."""
    try:
        with unlimited_memory():
            return find_api_server()
    except ApiServerNotFoundError as error:
        skip_or_fail(str(error))


@pytest.fixture(scope="module", params=[celery, docker, kubernetes], ids=lambda each: each.__name__)
def spread(request, tmp_path_factory, deployed, python):
    """Return the deployment after its sensor's run has ended."""
    root = tmp_path_factory.mktemp(request.param.__name__) / "root"
    needs = [request.getfixturevalue("api_server")] if request.param is kubernetes else []
    with request.param(root, deployed, python, *needs) as (deployment, workers):
        daemon = deployment.start("dagster-daemon", "run", "-m", "spread", log="daemon.log")
        try:
            wait_until(lambda: deployment.statuses("spread")[:1] in (["SUCCESS"], ["FAILURE"]), timeout=500)
        finally:
            deployment.interrupt(daemon)
            for worker in workers:
                stop(worker)
                deployment.kill(worker)
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
