"""Errors of finding, building, checking and running a Collector. Each message gives a remedy."""

from __future__ import annotations


class CollectorError(Exception):
    """Base of every error of this package."""


class CollectorNotFoundError(CollectorError):
    """No source has a Collector binary; the message gives the reason for each."""


class CollectorBuildError(CollectorError):
    """The build with Go failed; the message ends with the compiler's output."""


class ConfigurationInvalidError(CollectorError):
    """The Collector rejected a configuration; the message is the Collector's."""


class CollectorStartError(CollectorError):
    """The Collector exited or did not become healthy in time; the message ends with its last log lines."""
