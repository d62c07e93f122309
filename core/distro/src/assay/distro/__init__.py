"""The OpenTelemetry distro of Assay: opentelemetry-instrument with no settings."""
