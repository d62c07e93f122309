"""Errors about settings. The application never sees them: they are logged, and the default is used."""

from __future__ import annotations

from assay.endpoints import printable, without_credentials
from assay.telemetry.redaction import redact_text


class DistroError(Exception):
    """Base of this package's errors."""


class SettingError(DistroError, ValueError):
    """An environment variable has a value that is not allowed.

    Args:
        name: The variable's name.
        value: Its value; the message and the attribute have it without credentials.
        allowed: The allowed values, for people.
        used: The value that is used instead.
    """

    def __init__(self, name: str, value: str, allowed: str, used: str) -> None:
        value = printable(redact_text(without_credentials(value)))
        super().__init__(f"{name} is {value!r}; allowed: {allowed}. Using {used}.")
        self.name = name
        self.value = value
        self.allowed = allowed
        self.used = used
