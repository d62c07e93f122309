"""A Dagster project whose assets are the seeds and models of the dbt project in the folder `SHOP_PROJECT`."""

import os

from dagster import AssetExecutionContext, Definitions, in_process_executor
from dagster_dbt import DbtCliResource, DbtProject, dbt_assets

project = DbtProject(os.environ["SHOP_PROJECT"])


@dbt_assets(manifest=project.manifest_path)
def shop(context: AssetExecutionContext, dbt: DbtCliResource):
    yield from dbt.cli(["build"], context=context).stream()


defs = Definitions(
    assets=[shop],
    resources={"dbt": DbtCliResource(project_dir=project)},
    executor=in_process_executor,
)
