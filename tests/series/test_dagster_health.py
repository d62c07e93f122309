"""The gauge of a resource of Dagster is there as long as its process lives, on a real Prometheus."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import GAUGE_SECONDS, wait_until

pytestmark = pytest.mark.slow

PROJECTS = Path(__file__).parents[1] / "dagster/projects"
HEALTH = 'flowstone_resource_healthy{resource="ledger"}'


@pytest.mark.parametrize("executor", ["in_process", "multiprocess"])
def test_the_gauge_of_a_resource_goes_when_its_run_is_killed(deployment, tmp_path, executor):
    def shown() -> list[float]:
        return [value for _, value in deployment.prometheus.query(HEALTH)]

    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "WAREHOUSE_MARKS": str(home),
        "OTEL_SERVICE_NAME": "warehouse",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{deployment.collector.addresses.otlp_http}",
        "OTEL_METRIC_EXPORT_INTERVAL": "500",
        "ASSAY_DAGSTER_HEALTH_INTERVAL": "0.5",
        **({"WAREHOUSE_IN_PROCESS": "1"} if executor == "in_process" else {}),
    }
    programs = Path(sys.executable)
    run = [programs.with_name("dagster"), "job", "execute", "-m", "warehouse", "-j", "healthy"]
    with (tmp_path / "dagster.log").open("ab") as log:
        process = subprocess.Popen(
            [programs.with_name("opentelemetry-instrument"), *run],
            cwd=PROJECTS,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: shown() == [1])
        deployment.wait_for_scrapes(2 * GAUGE_SECONDS)
        assert shown() == [1]  # it is checked and reported as long as the run lives
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_until(lambda: shown() == [])
