"""Dagster as platform teams run it, under `opentelemetry-instrument`, and the far end of `assay up`."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from dagster import DagsterInstance

from assay.cli import _otlp_lines as otlp_lines
from assay.cli._addresses import HostAddresses
from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.process import Addresses
from assay.cli._comparison import Fact, differences, read_arrived, read_recorded
from assay.cli._comparison.facts import LOG, SERIES, SPAN
from assay.cli._demo.arrivals import scrape
from assay.cli._folder import Folder
from assay.cli._stack import Stack
from assay.instrumentation.testing import clean_environment, wait_until
from assay.semconv import attributes as keys

REPOSITORY = Path(__file__).parents[2]
INSTRUMENTATION = (
    *("semconv", "core/audit", "core/distro", "core/endpoints", "core/instrumentation", "core/telemetry"),
    "instrumentations/flowstone",
)
"""The packages that Dagster's environment needs."""
PROJECTS = Path(__file__).parent / "projects"
PYTHON = Path(os.environ.get("ASSAY_TEST_DAGSTER_PYTHON", sys.executable))
"""The interpreter that runs Dagster: another one tests another version of it, against the same far end."""
COLLECTOR_SETTINGS = {
    "ASSAY_COLLECTOR_TRACES_PERCENT": "100",
    "ASSAY_COLLECTOR_TRACES_WAIT": "1s",
    "ASSAY_COLLECTOR_TRACES_WAIT_AFTER_ROOT": "1s",
}
CREATE_HOME = """
from dagster import DagsterInstance
with DagsterInstance.get() as instance:
    instance.get_runs_count()
    instance.all_instigator_state()
"""
USER_AGENT = "release-bot/1.0"
"""Of the client of the webserver."""
LAUNCH = """
mutation($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
TERMINATE = """
mutation($run: String!) {
  terminateRun(runId: $run, terminatePolicy: SAFE_TERMINATE) { __typename ... on PythonError { message } }
}"""
BACKFILL = """
mutation($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
LOCATIONS = """
{
  workspaceOrError {
    ... on Workspace { locationEntries { name locationOrLoadError { __typename } } }
  }
}"""
STARTED = "materialization.start"
OURS = ("assay", "opentelemetry")
"""What the names of our loggers, and of those of OpenTelemetry's SDK, start with."""
WARNING = 13
"""OpenTelemetry's number of the severity."""
COMPLAINT = re.compile(
    r"(assay|opentelemetry)\S*\.py:\d+: \w*Warning|the instrumentation failed|is not instrumented"
    r"|does not accept telemetry|was not accepted"
)
"""A line of a program's output with a warning of ours."""
READER = "storage: {{sqlite: {{base_dir: {home}}}}}\n"
"""Configuration of the instance with which the tests read the storage of a home."""
QUIET_SECONDS = 3.0
"""The far end has everything once its files have not changed for so long after the last process exited."""
SETTLE_SECONDS = 60.0


class Webserver:
    """The GraphQL endpoint of a webserver.

    Args:
        port: Its port on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def has_jobs(self) -> bool:
        """Return whether it answers and has loaded the code location."""
        query = {"query": "{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"}
        try:
            answer = requests.post(f"{self._url}/graphql", json=query, timeout=5).json()
        except requests.RequestException:
            return False
        return bool(answer["data"]["repositoriesOrError"].get("nodes"))

    def locations(self) -> dict[str, str]:
        """Return the GraphQL type of each code location; `PythonError` if it could not be loaded."""
        answer = requests.post(f"{self._url}/graphql", json={"query": LOCATIONS}, timeout=120).json()
        entries = answer["data"]["workspaceOrError"]["locationEntries"]
        return {entry["name"]: entry["locationOrLoadError"]["__typename"] for entry in entries}

    def ask(self, query: str, **variables: object) -> dict[str, object]:
        """Send a mutation; return its result."""
        body = {"query": query, "variables": variables}
        answer = requests.post(
            f"{self._url}/graphql", json=body, headers={"User-Agent": USER_AGENT}, timeout=120
        ).json()
        assert "errors" not in answer, answer
        (result,) = answer["data"].values()
        assert result["__typename"].endswith("Success"), result
        return result

    def launch(self, job: str, tags: Mapping[str, str] | None = None) -> str:
        """Launch a job with tags; return the run's id."""
        selector = {
            "repositoryLocationName": "warehouse",
            "repositoryName": "__repository__",
            "jobName": job,
        }
        metadata = {"tags": [{"key": key, "value": value} for key, value in (tags or {}).items()]}
        params = {"selector": selector, "mode": "default", "executionMetadata": metadata}
        return self.ask(LAUNCH, params=params)["run"]["runId"]

    def terminate(self, run: str) -> None:
        """Cancel a run."""
        self.ask(TERMINATE, run=run)

    def backfill(self, asset: str) -> None:
        """Start a backfill of all partitions of an asset."""
        params = {"assetSelection": [{"path": [asset]}], "partitionNames": ["east", "north"]}
        self.ask(BACKFILL, params=params)


@dataclass
class Deployment:
    """One deployment of Dagster, and the far end of everything that its processes emit.

    Args:
        root: Folder of Dagster's home, of the far end and of the processes' output.
        python: The interpreter that runs Dagster.
        environment: The variables of its processes.
        folder: The far end.
        instance: Dagster's instance, which stores its record.
        metrics_url: The Prometheus endpoint of the far end.
    """

    root: Path
    python: Path
    environment: dict[str, str]
    folder: Folder
    instance: DagsterInstance
    metrics_url: str

    @property
    def projects(self) -> Path:
        """Folder of the projects, in which the programs run."""
        return PROJECTS

    @property
    def marks(self) -> Path:
        """Folder of the files by which steps and tests signal each other."""
        return self.root / "marks"

    def start(self, *command: str | Path, log: str, **variables: str) -> subprocess.Popen[bytes]:
        """Start a program under `opentelemetry-instrument`, in a process group of its own.

        Args:
            command: The program of the environment, and its arguments.
            log: Name of the file of its output.
            variables: Further variables.
        """
        program, *arguments = command
        with (self.root / log).open("ab") as output:
            return subprocess.Popen(
                [
                    self.python.with_name("opentelemetry-instrument"),
                    self.python.with_name(str(program)),
                    *arguments,
                ],
                cwd=PROJECTS,
                env={**self.environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=accept_interrupts,  # noqa: PLW1509 - no other thread runs Python code here
            )

    def run(self, *command: str | Path, log: str, timeout: float = 400.0) -> int:
        """Run a program to its end; return its exit status."""
        with self.start(*command, log=log) as process:
            try:
                return process.wait(timeout)
            finally:
                process.kill()

    @staticmethod
    def interrupt(process: subprocess.Popen[bytes]) -> int:
        """Interrupt a program and its children as Ctrl-C in a terminal does; return its exit status."""
        os.killpg(process.pid, signal.SIGINT)
        try:
            return process.wait(60)
        finally:
            Deployment.kill(process)

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        """Kill what is left of a program and its children."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    @staticmethod
    def webserver(port: int) -> Webserver:
        """Return the client of a webserver of the deployment."""
        return Webserver(port)

    def kill_worker(self, job: str, run: str, attempts: int = 1) -> None:
        """Kill the process that runs a job, once its step `waits` runs and everything before it has arrived.

        Args:
            job: The job.
            run: The run's id.
            attempts: How many processes have run it so far.
        """
        path = self.marks / f"{job}.pid"
        wait_until(lambda: path.exists() and path.read_text(), timeout=240, interval=0.1)
        process = int(path.read_text())
        path.unlink()
        wait_until(lambda: self._has_started(run, attempts), timeout=120, interval=0.2)
        os.kill(process, signal.SIGKILL)

    def _has_started(self, run: str, attempts: int) -> bool:
        self.scrape()
        arrived = read_arrived(self.folder)
        logs, spans, series = (arrived.get(each, Counter()) for each in (LOG, SPAN, SERIES))
        starts = sum(n for fact, n in logs.items() if (fact.kind, fact.asset) == (STARTED, "waits"))
        return (
            logs[Fact(STARTED, run, "waits")] >= attempts
            and spans[Fact("materialization", run, "before_wait", detail="success")] >= attempts
            and series[Fact(STARTED, asset="waits")] >= starts
        )

    def settle(self) -> None:
        """Wait until the far end has written everything that it accepted."""
        deadline = time.monotonic() + SETTLE_SECONDS
        before, since = self._sizes(), time.monotonic()
        while time.monotonic() < deadline and time.monotonic() - since < QUIET_SECONDS:
            time.sleep(0.1)
            now = self._sizes()
            if now != before:
                before, since = now, time.monotonic()
        self.scrape()

    def scrape(self) -> None:
        """Keep the page of the Prometheus endpoint."""
        self.folder.page.write_text(scrape(self.metrics_url), encoding="utf-8")

    def differences(self, *jobs: str) -> list[str]:
        """Return the differences between Dagster's record and the far end.

        Args:
            jobs: The jobs whose runs are compared; none compares everything, series and ticks included.
        """
        arrived = read_arrived(self.folder)
        if not jobs:
            return differences(read_recorded(self.instance), arrived)
        runs = {run.run_id for run in self.instance.get_runs() if run.job_name in jobs}
        assert runs, f"no run of {jobs}"
        return differences(read_recorded(self.instance, set(jobs)), arrived.of_runs(runs))

    def check(self, *jobs: str) -> None:
        """Fail with the list of all differences; see `differences`."""
        found = self.differences(*jobs)
        if found:
            pytest.fail("\n".join([f"{len(found)} differences:", *found]), pytrace=False)

    def complaints(self) -> list[str]:
        """Return the warnings and errors of ours: in the programs' output, and in the log records."""
        lines = [line for log in self.root.glob("*.log") for line in log.read_text("utf-8").splitlines()]
        printed = [line for line in lines if COMPLAINT.search(line)]
        logged = [
            record["body"]["stringValue"]
            for line in otlp_lines.read_lines(self.folder.logs)
            for scope, record in otlp_lines.log_records(line)
            if scope.startswith(OURS)
            and record.get("severityNumber", 0) >= WARNING
            and "eventName" not in record
        ]
        return printed + logged

    def statuses(self, job: str) -> list[str]:
        """Return the statuses of a job's runs, oldest first."""
        return [run.status.value for run in reversed(self.instance.get_runs()) if run.job_name == job]

    def traces(self, run: str) -> set[str]:
        """Return the ids of the traces that a run's spans are in."""
        return {
            span["traceId"]
            for line in otlp_lines.read_lines(self.folder.traces)
            for _, span in otlp_lines.spans(line)
            if otlp_lines.attributes(span).get(keys.FLOWSTONE_RUN_ID) == run
        }

    def log_events(self, *kinds: str) -> list[tuple[str, dict[str, object]]]:
        """Return the name and the attributes of the log events with these names."""
        return [
            (record["eventName"], otlp_lines.attributes(record))
            for line in otlp_lines.read_lines(self.folder.logs)
            for _, record in otlp_lines.log_records(line)
            if record.get("eventName") in kinds
        ]

    def _sizes(self) -> list[int]:
        folder = self.folder
        databases = (folder.database, folder.series)
        logs = [each.with_name(f"{each.name}-wal") for each in databases]
        files = (folder.traces, folder.logs, folder.cdevents, *databases, *logs)
        return [each.stat().st_size if each.exists() else 0 for each in files]


def accept_interrupts() -> None:
    """Let Ctrl-C interrupt this process, although the background of a shell ignores it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def deployed(
    root: Path,
    configuration: str = "",
    binary: CollectorBinary | None = None,
    python: Path = PYTHON,
    **variables: str,
) -> Iterator[Deployment]:
    """Make a home for Dagster and run the far end of `assay up`.

    Args:
        root: Folder of all files.
        configuration: Further lines of dagster.yaml.
        binary: The Collector; without one Dagster's processes send to the exporter host directly.
        python: The interpreter that runs Dagster.
        variables: Further variables of Dagster's processes.
    """
    for name in ("home", "reader", "marks", "far"):
        (root / name).mkdir(parents=True, exist_ok=True)
    quiet = "telemetry: {enabled: false}\n"
    (root / "home/dagster.yaml").write_text(quiet + configuration, encoding="utf-8")
    # Without the configuration, whose run launcher may need packages that are not installed here.
    (root / "reader/dagster.yaml").write_text(quiet + READER.format(home=root / "home"), encoding="utf-8")
    folder = Folder(root / "far")
    stack = Stack(folder, binary, Addresses.free(), HostAddresses.free(), COLLECTOR_SETTINGS, zero_seconds=0)
    with stack.running():
        environment = clean_environment(
            **stack.application_environment(),
            DAGSTER_HOME=str(root / "home"),
            WAREHOUSE_MARKS=str(root / "marks"),
            PATH=os.pathsep.join([str(python.parent), os.environ["PATH"]]),
            OTEL_SERVICE_NAME="warehouse",
            PYTHONPATH=os.pathsep.join(filter(None, [str(PROJECTS), os.environ.get("PYTHONPATH")])),
            # A worker that a test kills loses what it has not sent.
            **{"OTEL_METRIC_EXPORT_INTERVAL": "500", **variables},
        )
        # Created first: two processes that create a new home at once read each other's incomplete tables.
        subprocess.run([python, "-c", CREATE_HOME], env=environment, timeout=120, check=True)
        with DagsterInstance.from_config(str(root / "reader")) as instance:
            yield Deployment(root, python, environment, folder, instance, stack.host.prometheus_url)


@pytest.fixture(scope="session", name="deployed")
def _deployed():
    """Return the function that makes a deployment."""
    return deployed


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Return a function that makes an environment with our packages and others, without the exporter host."""

    def make(*packages: str) -> Path:
        folder = tmp_path_factory.mktemp("environment") / "venv"
        python = folder / "bin/python"
        uv = shutil.which("uv") or str(REPOSITORY / ".uv/bin/uv")
        editable = [argument for package in INSTRUMENTATION for argument in ("--editable", package)]
        for arguments in (
            ("venv", "--quiet", "--python", sys.executable, str(folder)),
            ("pip", "install", "--quiet", "--python", python, *editable, *packages),
        ):
            done = subprocess.run(
                [uv, *arguments], cwd=REPOSITORY, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        return python

    return make
