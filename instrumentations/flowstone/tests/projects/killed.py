"""A job whose process is killed while it makes its second asset."""

import os
import signal

from dagster import Definitions, asset, define_asset_job, in_process_executor


@asset
def before():
    return 1


@asset
def dies(before):
    os.kill(os.getpid(), signal.SIGKILL)


@asset
def after(dies):
    return dies


defs = Definitions(
    assets=[before, dies, after], jobs=[define_asset_job("killed", executor_def=in_process_executor)]
)
