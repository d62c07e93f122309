"""Errors of `assay up` and `assay demo`."""

from __future__ import annotations


class StackError(Exception):
    """A service cannot be started, or it exited by itself; the message names the service and the cause."""
