"""A Dagster project that knows nothing of telemetry, with a bit of everything."""

import os
from pathlib import Path

from dagster import (
    AssetCheckResult,
    ConfigurableIOManager,
    Failure,
    RetryPolicy,
    StaticPartitionsDefinition,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
    reconstructable,
)

COLOURS = StaticPartitionsDefinition(["red", "blue"])


class TextFiles(ConfigurableIOManager):
    """Keeps text in files."""

    folder: str

    def _path(self, context):
        return Path(self.folder, *context.asset_key.path)

    def handle_output(self, context, obj):
        self._path(context).write_text(str(obj), encoding="utf-8")

    def load_input(self, context):
        return self._path(context).read_text(encoding="utf-8")


@asset
def seed():
    return "seed"


@asset
def leaf(seed):
    return seed + "-leaf"


@asset(retry_policy=RetryPolicy(max_retries=2))
def flaky():
    mark = Path(os.environ["PROJECT_MARK"])
    if not mark.exists():
        mark.touch()
        raise ConnectionError("source is away")
    return "came"


@asset
def broken(leaf):
    raise ValueError(f"cannot use {leaf}")


@asset
def after_broken(broken):
    return broken


@asset
def refused(leaf):
    raise Failure("refused for good", allow_retries=False)


@asset_check(asset=leaf)
def leaf_is_long(leaf):
    return AssetCheckResult(passed=len(leaf) > 100)


@asset(partitions_def=COLOURS)
def painted(context):
    return context.partition_key


@op
def make():
    return "made"


@op
def use(made):
    return made


@job(executor_def=in_process_executor)
def ops_job():
    use(make())


ASSETS = [seed, leaf, flaky, broken, after_broken, refused]

in_process_job = define_asset_job("in_process_job", executor_def=in_process_executor)
multiprocess_job = define_asset_job(
    "multiprocess_job", executor_def=multiprocess_executor.configured({"max_concurrent": 2})
)


def _resolved(job_definition):
    from dagster import Definitions

    return Definitions(assets=ASSETS, asset_checks=[leaf_is_long], jobs=[job_definition]).get_job_def(
        job_definition.name
    )


def in_process():
    return _resolved(in_process_job)


def multiprocess():
    return _resolved(multiprocess_job)


EXECUTED = {"in_process": reconstructable(in_process), "multiprocess": reconstructable(multiprocess)}
