"""Errors about settings. The application never sees them: they are logged, and the default is used."""

from __future__ import annotations


class DistroError(Exception):
    """Base of this package's errors."""


class SettingError(DistroError, ValueError):
    """An environment variable has a value that is not allowed.

    Args:
        name: The variable's name.
        value: Its value, without credentials.
        allowed: The allowed values, for people.
        used: The value that is used instead.
    """

    def __init__(self, name: str, value: str, allowed: str, used: str) -> None:
        super().__init__(f"{name} is {value!r}; allowed: {allowed}. Using {used}.")
        self.name = name
        self.value = value
        self.allowed = allowed
        self.used = used
