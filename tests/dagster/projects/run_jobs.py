"""Run jobs of the project one after the other: `python run_jobs.py spawn plain retried`."""

import sys
from pathlib import Path

from dagster import DagsterInstance, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository

PARTITION = {
    "partitioned": {"dagster/partition": "north"},
    "mixed": {"dagster/partition": "west"},
    "range": {
        "dagster/asset_partition_range_start": "east",
        "dagster/asset_partition_range_end": "west",
    },
}
"""The tags with which a user or a backfill chooses a job's partitions."""

EXECUTORS = {
    "in_process": {"in_process": {}},
    "spawn": {"multiprocess": {"max_concurrent": 2}},
    "forkserver": {
        "multiprocess": {
            "max_concurrent": 2,
            "start_method": {"forkserver": {"preload_modules": ["warehouse"]}},
        }
    },
}


def main(executor: str, *jobs: str) -> None:
    repository = ReconstructableRepository.for_module("warehouse", "defs", str(Path.cwd()))
    with DagsterInstance.get() as instance:
        for name in jobs:
            with execute_job(
                repository.get_reconstructable_job(name),
                instance=instance,
                run_config={"execution": {"config": EXECUTORS[executor]}},
                tags=PARTITION.get(name, {}),
                raise_on_error=False,
            ):
                pass


if __name__ == "__main__":
    main(*sys.argv[1:])
