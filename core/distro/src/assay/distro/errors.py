"""What is wrong with a setting; the app never sees it, it is logged and the default is used."""

from __future__ import annotations


class DistroError(Exception):
    """Base of this package's errors."""


class SettingError(DistroError, ValueError):
    """An environment variable has a value that it may not have.

    Args:
        name: The variable.
        value: What it was; left out of the message where it may be a secret.
        allowed: What it may be.
        used: What is used in its place.
    """

    def __init__(self, name: str, value: str, allowed: str, used: str) -> None:
        super().__init__(f"{name} is {value!r}; it may be {allowed}. Using {used}.")
        self.name = name
        self.value = value
        self.allowed = allowed
        self.used = used
