"""What goes wrong between the command and a Collector; each message says what to do."""

from __future__ import annotations


class CollectorError(Exception):
    """Base of every error of this package."""


class CollectorNotFoundError(CollectorError):
    """No source gave a Collector binary; the message says why each of them did not."""


class CollectorBuildError(CollectorError):
    """The build with Go failed; the message ends with what the compiler said."""


class ConfigurationInvalidError(CollectorError):
    """The Collector refused a configuration; the message is the Collector's own."""


class CollectorStartError(CollectorError):
    """The Collector ended, or was not healthy in time; the message ends with its last log lines."""
