"""Programs that do not use Assay, and the scripts that run them.

- `project` is a Dagster project as a team would write it, and `drive` runs it. `approvals` requests approvals
  in one process and decides them in another, as a web application would.
- `git_sync` is a program with GitPython. `gitops` runs the controller of `examples/gitops` with a `cluster`
  and a `git_host`; `drift` is a script beside the controller.
- `pool` is a program with a process pool.
"""
