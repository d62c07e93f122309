"""Run the Jobs of a Kubernetes API server as processes of this machine.

Usage: `python job_controller.py KUBECONFIG LOG`.

It stands in for the controller of Jobs, the scheduler and the kubelet: it starts the container of each new
Job, and updates the Job's status as the controller of Jobs does.
"""

import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from containers import Container
from kubernetes import client, config

NAMESPACE = "default"
SECONDS = 0.2
"""Between two looks at the Jobs."""


def main(kubeconfig: str, log: str) -> None:
    config.load_kube_config(kubeconfig)
    jobs = client.BatchV1Api()
    started: dict[str, Container] = {}
    finished: set[str] = set()
    while True:
        for job in jobs.list_namespaced_job(NAMESPACE).items:
            name = job.metadata.name
            if name not in started:
                started[name] = start(job, Path(log))
                update(jobs, name, {"active": 1, "startTime": now()})
            elif name not in finished and started[name].exit_status is not None:
                finished.add(name)
                update(jobs, name, end_of(started[name].exit_status))
        time.sleep(SECONDS)


def start(job, log: Path) -> Container:
    (spec,) = job.spec.template.spec.containers
    variables = {each.name: each.value for each in spec.env or () if each.value is not None}
    container = Container([*(spec.command or ()), *(spec.args or ())], variables)
    container.start(log)
    return container


def end_of(exit_status: int) -> dict[str, object]:
    """Return the status of a Job of one pod that has ended."""
    if exit_status:
        return {"active": 0, "failed": 1, "conditions": conditions("FailureTarget", "Failed")}
    reached = conditions("SuccessCriteriaMet", "Complete")
    return {"active": 0, "succeeded": 1, "completionTime": now(), "conditions": reached}


def conditions(*types: str) -> list[dict[str, str]]:
    return [{"type": each, "status": "True", "lastTransitionTime": now()} for each in types]


def update(jobs: client.BatchV1Api, name: str, status: dict[str, object]) -> None:
    jobs.patch_namespaced_job_status(name, NAMESPACE, {"status": status})


def now() -> str:
    return datetime.now(timezone.utc).isoformat()


if __name__ == "__main__":
    main(*sys.argv[1:])
