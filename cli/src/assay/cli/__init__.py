"""Audit-grade OpenTelemetry for Python platforms: the `assay` command."""
