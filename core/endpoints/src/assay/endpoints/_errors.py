"""The error of every check in this package."""

from __future__ import annotations


class EndpointError(ValueError):
    """A URL, an address or a token cannot be used. The message says what is expected, without the value."""
