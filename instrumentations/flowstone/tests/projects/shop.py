"""A Dagster project that knows nothing of telemetry, with a bit of everything; child processes import it."""

import os
import signal
from pathlib import Path

from dagster import (
    AssetCheckResult,
    AssetSelection,
    Definitions,
    Failure,
    FilesystemIOManager,
    RetryPolicy,
    asset,
    asset_check,
    define_asset_job,
    in_process_executor,
    job,
    multiprocess_executor,
    op,
)


def _is_second_time(name):
    mark = Path(os.environ["SHOP_FOLDER"], name)
    if mark.exists():
        return True
    mark.touch()
    return False


@asset
def seed():
    return "seed"


@asset
def leaf(seed):
    return seed + "-leaf"


@asset(retry_policy=RetryPolicy(max_retries=2))
def flaky():
    if not _is_second_time("flaky.mark"):
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


@op
def dies():
    os._exit(3)


@job(executor_def=multiprocess_executor)
def deadly():
    dies()


@asset(retry_policy=RetryPolicy(max_retries=2))
def mortal():
    os.kill(os.getpid(), signal.SIGKILL)


ASSETS = [seed, leaf, flaky, broken, after_broken, refused]

EVERYTHING = AssetSelection.assets(*ASSETS)

defs = Definitions(
    assets=[*ASSETS, mortal],
    asset_checks=[leaf_is_long],
    jobs=[
        define_asset_job("in_process", selection=EVERYTHING, executor_def=in_process_executor),
        define_asset_job(
            "multiprocess",
            selection=EVERYTHING,
            executor_def=multiprocess_executor.configured({"max_concurrent": 2}),
        ),
        deadly,
        define_asset_job("mortal_asset", selection=["mortal"], executor_def=multiprocess_executor),
    ],
    resources={"io_manager": FilesystemIOManager(base_dir=os.environ.get("SHOP_FOLDER", "."))},
)


def in_process():
    return defs.resolve_job_def("in_process")


def multiprocess():
    return defs.resolve_job_def("multiprocess")


def mortal_job():
    return defs.resolve_job_def("mortal_asset")


def deadly_job():
    return defs.resolve_job_def("deadly")
