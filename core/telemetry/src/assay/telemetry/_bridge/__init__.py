"""Generate the handlers that emit OpenTelemetry signals, from a catalogue.

`assay.telemetry.bridge` is the public side.
"""
