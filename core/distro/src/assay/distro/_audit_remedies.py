"""Remedies for audit records that the endpoint does not accept, in terms of the distro's settings."""

from __future__ import annotations

from assay.audit.errors import ExportError

UNAUTHORIZED = frozenset({401, 403})


def remedy(error: Exception | None) -> str:
    """Return a sentence on what to do, with a space after it; empty if there is none."""
    if isinstance(error, ExportError) and error.status in UNAUTHORIZED:
        return "Set ASSAY_AUDIT_TOKEN to a token that this endpoint accepts. "
    if isinstance(error, ExportError) and not error.is_final:
        return "Start the Collector, or set ASSAY_AUDIT_ENDPOINT. "
    return ""
