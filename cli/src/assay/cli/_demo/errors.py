"""Errors of the demo."""


class DemoError(Exception):
    """The application cannot be run, or it lacks a file that the demo reads."""
