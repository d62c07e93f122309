"""A Dagster project that does not use Assay, and the scripts that run it.

`project` is a project as a team would write it. `drive` runs it. `approvals` requests two approvals in one
process and decides them in another, as a web application would.
"""
