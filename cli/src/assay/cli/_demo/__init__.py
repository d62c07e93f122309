"""The demo: run an instrumented Dagster project, and compare the data that arrives with Dagster's counts."""
