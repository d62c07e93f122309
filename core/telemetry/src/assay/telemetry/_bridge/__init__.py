"""Compile a catalogue into the handlers that emit OpenTelemetry signals. `assay.telemetry.bridge` is the public side."""
