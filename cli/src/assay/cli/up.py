"""`assay up`: the Collector and the exporter host on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import click

from assay.cli._collector.process import Addresses
from assay.cli._collector.sources import Mode, find_collector
from assay.cli._options import collector_option, made_folder, say
from assay.cli._stack import Folder, HostAddresses, Stack


@click.command("up")
@click.option(
    "--keep",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("assay-data"),
    show_default=True,
    help="Folder for the audit log, the CDEvents, the queues and the logs.",
)
@click.option(
    "--free-ports", is_flag=True, help="Listen on ports that are free now, not on the default ones."
)
@collector_option
def command(directory: Path, mode: Mode, *, free_ports: bool) -> None:
    """Run the Collector and the exporters on this machine, and say where they listen.

    Stays until Ctrl-C. Applications find everything at the default addresses; what they need to send audit
    records is printed.

    \b
    Example:
      assay up --keep ./assay-data
      . ./assay-data/environment && opentelemetry-instrument python app.py      (in another terminal)
    """
    folder = Folder(made_folder(directory))
    binary = find_collector(mode, report=say)
    stack = (
        Stack(folder, binary, Addresses.free(), HostAddresses.free()) if free_ports else Stack(folder, binary)
    )
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with stack.running():
        _announce(stack)
        stack.wait(stopped)
        say("stopping")


def _announce(stack: Stack) -> None:
    """Print the addresses, and leave the variables for an application where a shell can take them."""
    folder = stack.folder
    exports = "".join(f"export {name}={value}\n" for name, value in stack.application_environment().items())
    environment = folder.root / "environment"
    environment.touch(mode=0o600)  # it holds the token of the audit path
    environment.write_text(exports, encoding="utf-8")
    if stack.binary is not None:
        click.echo(f"# Prometheus scrapes {stack.collector.prometheus_url}")
    click.echo(f"# health of the exporters: http://{stack.host.health}/health/detailed")
    click.echo(f"# the audit log: assay audit verify --db {folder.database} --key {folder.verifier_key}")
    click.echo(f"# for an application, also in {environment}:")
    click.echo(exports, nl=False)
