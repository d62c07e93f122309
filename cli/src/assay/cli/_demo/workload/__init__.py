"""A Dagster project that knows nothing of Assay, and the scripts that put it to work.

`project` is what a team would have written; `drive` runs it; `approvals` asks for two sign-offs and decides
them, in processes of their own, as a web application and its reviewer would.
"""
