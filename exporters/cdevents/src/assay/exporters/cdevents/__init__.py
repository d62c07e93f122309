"""CDEvents out of OpenTelemetry events and spans."""
