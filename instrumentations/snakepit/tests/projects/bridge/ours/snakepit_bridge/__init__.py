"""A package with the interface of Snakepit's `snakepit_bridge`, as far as the instrumentation uses it."""

from snakepit_bridge import telemetry as telemetry
