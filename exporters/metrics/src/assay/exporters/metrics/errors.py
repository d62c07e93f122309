"""Errors of the metrics exporter."""

from __future__ import annotations


class MetricsError(Exception):
    """Base of every error that this package raises."""


class StoreError(MetricsError):
    """The database of the series cannot be opened: the message gives the file and the reason."""
