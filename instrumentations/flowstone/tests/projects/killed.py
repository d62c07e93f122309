"""Jobs whose process is killed: while it makes its second asset, and while it checks its first."""

import os
import signal

from dagster import AssetSelection, Definitions, asset, asset_check, define_asset_job, in_process_executor


@asset
def before():
    return 1


@asset
def dies(before):
    os.kill(os.getpid(), signal.SIGKILL)


@asset
def after(dies):
    return dies


@asset
def checked():
    return 1


@asset_check(asset=checked)
def kills():
    os.kill(os.getpid(), signal.SIGKILL)


defs = Definitions(
    assets=[before, dies, after, checked],
    asset_checks=[kills],
    jobs=[
        define_asset_job(
            "killed",
            selection=AssetSelection.assets(before, dies, after),
            executor_def=in_process_executor,
        ),
        define_asset_job(
            "killed_by_check",
            selection=AssetSelection.assets(checked),
            executor_def=in_process_executor,
        ),
    ],
)
