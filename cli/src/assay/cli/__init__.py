"""Audit-grade OpenTelemetry for Python platforms: the suite and its command."""
