"""Run jobs of the project one after the other: `python run_jobs.py in_process plain retried`."""

import os
import sys

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


def main(executor: str, *jobs: str) -> None:
    repository = ReconstructableRepository.for_module("warehouse", "defs", os.getcwd())
    config = {"in_process": {}} if executor == "in_process" else {"multiprocess": {"max_concurrent": 2}}
    with DagsterInstance.get() as instance:
        for name in jobs:
            with execute_job(
                repository.get_reconstructable_job(name),
                instance=instance,
                run_config={"execution": {"config": config}},
                tags=PARTITION.get(name, {}),
                raise_on_error=False,
            ):
                pass


if __name__ == "__main__":
    main(*sys.argv[1:])
