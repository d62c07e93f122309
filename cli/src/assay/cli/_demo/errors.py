"""What can go wrong before there is anything to check."""


class DemoError(Exception):
    """The base of this package's errors."""


class StackError(DemoError):
    """A service did not start."""


class WorkloadError(DemoError):
    """The application could not be run, or did not leave its report."""
