"""`assay up`: run the Collector and the exporter host on this machine until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path
from types import FrameType

import click

from assay.cli._addresses import StackAddresses, kept_free_addresses
from assay.cli._collector.binary import CollectorBinary
from assay.cli._collector.errors import CollectorError
from assay.cli._collector.sources import Mode, find_collector
from assay.cli._errors import StackError
from assay.cli._folder import DEFAULT_FOLDER, Folder
from assay.cli._free_ports import is_free
from assay.cli._options import collector_option, created_folder
from assay.cli._private_files import write_private
from assay.cli._progress import print_progress
from assay.cli._stack import Stack
from assay.cli._unregistered import UnregisteredEvents
from assay.cli._welcome import welcome
from assay.endpoints import printable
from assay.semconv.registry import extended

_ATTEMPTS = 5  # to start on free ports


@click.command("up")
@click.option(
    "--keep",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=DEFAULT_FOLDER,
    show_default=True,
    help="Folder of the audit log, the CDEvents, the queues, the tokens and the logs.",
)
@click.option(
    "--free-ports",
    is_flag=True,
    help="Listen on free ports instead of the default ones; the folder keeps them for the next start.",
)
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another configuration file for the Collector, merged over its own. May be repeated.",
)
@collector_option
def command(directory: Path, mode: Mode, configs: tuple[Path, ...], *, free_ports: bool) -> None:
    """Run the Collector and the exporters on this machine until Ctrl-C.

    The addresses, the files and what each holds, the variables that applications need and commands to try
    are printed. The variables are also in the file `environment`. The tokens stay with the folder:
    applications that are running keep working when `assay up` is restarted on it.

    \b
    Example:
      assay up --keep ./assay-data
      . ./assay-data/environment && opentelemetry-instrument python app.py      (in another terminal)
    """
    folder = Folder(created_folder(directory))
    catalogue = extended(*filter(None, os.environ.get("ASSAY_REGISTRY", "").split(os.pathsep)))
    binary = find_collector(mode, report=print_progress)
    if configs and binary is None:
        raise click.UsageError("--config is for the Collector, and there is none")
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with contextlib.ExitStack() as running:
        stack = _start(running, folder, binary, configs=configs, free_ports=free_ports)
        _announce(stack)
        registered = catalogue.events.keys() | catalogue.spans.keys()
        unregistered = UnregisteredEvents(folder.traces, folder.logs, registered)
        stack.wait(stopped, lambda: _report(unregistered))
        print_progress("stopping")


def _start(
    running: contextlib.ExitStack,
    folder: Folder,
    binary: CollectorBinary | None,
    *,
    configs: tuple[Path, ...] = (),
    free_ports: bool,
) -> Stack:
    """Start the services, which `running` stops; on free ports, again if another process has taken one.

    A port is free until the service listens on it, and another process may be faster.
    """
    attempts = _ATTEMPTS if free_ports else 1
    while True:
        attempts -= 1
        addresses = kept_free_addresses(folder.addresses) if free_ports else StackAddresses()
        stack = Stack(folder, binary, addresses.collector, addresses.host, collector_configs=configs)
        try:
            return running.enter_context(stack.running())
        except (StackError, CollectorError):
            if not attempts or all(map(is_free, addresses.all())):
                raise


def _announce(stack: Stack) -> None:
    """Write the variables for applications to a file, and print what is where."""
    folder = stack.folder
    exports = "".join(f"export {name}={value}\n" for name, value in stack.application_environment().items())
    write_private(folder.environment, exports)  # it holds a token
    for line in welcome(stack, exports):
        click.echo(printable(line))


def _report(unregistered: UnregisteredEvents) -> None:
    for name in unregistered.read():
        print_progress(
            f"{name} is not in the registry of `assay up`, so no CDEvents are sent for it: restart "
            "`assay up` with ASSAY_REGISTRY set to the application's registry file"
        )
