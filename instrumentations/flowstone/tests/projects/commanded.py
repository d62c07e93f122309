"""A job that a command executes."""

from dagster import Definitions, in_process_executor, job, op


@op
def works():
    return 1


@job(executor_def=in_process_executor)
def commanded():
    works()


defs = Definitions(jobs=[commanded])
