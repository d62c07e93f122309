"""Messages of errors, which may quote settings, files and records."""

from __future__ import annotations

import os

from assay.endpoints import printable


def safe(message: str) -> str:
    """Return a message without secrets, each of its lines without what would steer a terminal."""
    from assay.telemetry.environment_secrets import without_secrets  # noqa: PLC0415  not needed without an error

    return "\n".join(map(printable, without_secrets(message, os.environ).split("\n")))
