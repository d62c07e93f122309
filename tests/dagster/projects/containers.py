"""Containers without a container engine: each is a process of this machine."""

import os
import subprocess
from pathlib import Path

INSTRUMENT = Path(os.environ["ENGINE_PYTHON"]).with_name("opentelemetry-instrument")


class Container:
    """A container that has been created.

    It has the environment of this process, as that of an image, and its own variables. Its command runs under
    `opentelemetry-instrument`, as with the entry point of an image.

    Args:
        command: Its command, which starts with `dagster`.
        variables: Its environment variables.
    """

    def __init__(self, command: list[str], variables: dict[str, str]) -> None:
        self.command = [str(INSTRUMENT), str(INSTRUMENT.with_name(command[0])), *command[1:]]
        self.environment = {**os.environ, **variables}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, log: Path) -> None:
        """Start the process; its output goes to the end of a file."""
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def exit_status(self) -> int | None:
        """Exit status of the process; None if it has not started, or has not ended."""
        return None if self.process is None else self.process.poll()
