"""A run launcher of the kind that the launchers for Docker, Kubernetes, ECS and Celery are.

Each run is a process of its own that executes `dagster api execute_run`. The launcher knows whether that
process is alive, and can start another one to resume the run. Runs of other jobs go to the code server.
"""

import os
import subprocess
import sys

from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import ExecuteRunArgs, ResumeRunArgs

JOBS = {"killed_alone", "resumed"}
"""The jobs that get a process of their own."""


class ProcessLauncher(DefaultRunLauncher):
    """Starts a process for each run of some jobs."""

    def __init__(self, inst_data=None):
        super().__init__(inst_data)
        self._workers = {}

    @property
    def supports_check_run_worker_health(self):
        return True

    @property
    def supports_resume_run(self):
        return True

    def launch_run(self, context):
        if context.dagster_run.job_name not in JOBS:
            super().launch_run(context)
            return
        self._start(context, ExecuteRunArgs)

    def resume_run(self, context):
        self._start(context, ResumeRunArgs)

    def check_run_worker_health(self, run):
        worker = self._workers.get(run.run_id)
        if worker is None or worker.poll() is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"exit code {worker.returncode}")

    def _start(self, context, arguments):
        run = context.dagster_run
        command = arguments(
            job_origin=context.job_code_origin,
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        ).get_command_args()
        # The last arguments are `api execute_run ARGUMENTS`; the entry point before them is an image's.
        self._workers[run.run_id] = subprocess.Popen(
            [sys.executable, "-m", "dagster", *command[-3:]], env=os.environ
        )
