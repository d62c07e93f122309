"""An event bus for Python programs, and its bridge to OpenTelemetry."""
