"""What can go wrong before there is anything to check."""


class DemoError(Exception):
    """The application could not be run, or did not leave what the demo looks at."""
