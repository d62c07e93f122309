"""OpenTelemetry instrumentation of asset orchestration: FlowStone events and Dagster."""
