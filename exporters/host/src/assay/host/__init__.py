"""An OTLP server that hosts exporters written in Python behind a Collector."""
