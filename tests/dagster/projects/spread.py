"""A Dagster project whose steps run in other processes: with Celery, Docker or Kubernetes.

`SPREAD_EXECUTOR` names the executor. A sensor requests the run.
"""

import os

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    DefaultSensorStatus,
    Definitions,
    RetryPolicy,
    RunRequest,
    SkipReason,
    asset,
    asset_check,
    define_asset_job,
    sensor,
)


@asset
def orders(context: AssetExecutionContext) -> list[int]:
    context.log.info("reading orders")
    return [1, 2, 3]


@asset(retry_policy=RetryPolicy(max_retries=1))
def revenue(context: AssetExecutionContext, orders: list[int]) -> int:
    if context.retry_number == 0:
        raise ConnectionError("closed")
    return sum(orders)


@asset_check(asset=revenue)
def positive() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


@sensor(job_name="spread", default_status=DefaultSensorStatus.RUNNING, minimum_interval_seconds=1)
def new_files(context):
    if context.cursor:
        return SkipReason("nothing new")
    context.update_cursor("1")
    return RunRequest(run_key="one")


def executor():
    name = os.environ["SPREAD_EXECUTOR"]
    if name == "celery":
        from dagster_celery import celery_executor

        url = os.environ["SPREAD_BROKER"]
        return celery_executor.configured({"broker": url, "backend": url})
    if name == "docker":
        from dagster_docker import docker_executor

        return docker_executor.configured({"image": "warehouse:1"})
    from dagster_k8s import k8s_job_executor

    return k8s_job_executor  # its settings are those of the run launcher


defs = Definitions(
    assets=[orders, revenue],
    asset_checks=[positive],
    jobs=[define_asset_job("spread", selection=["orders", "revenue"])],
    sensors=[new_files],
    executor=executor(),
)
