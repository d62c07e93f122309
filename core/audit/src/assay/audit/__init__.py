"""Audit records through OpenTelemetry: the record, its canonical form, and its emission."""
