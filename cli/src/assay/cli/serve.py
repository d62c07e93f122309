"""`assay serve`: run the exporter host."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from assay.host import Host, HostError, load_config
from assay.host.escaping import EscapingFormatter, RepetitionFilter


@click.command(epilog="Example: assay serve --config host.yaml")
@click.option(
    "--config",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The host's YAML file: listeners, exporters, limits.",
)
@click.option("--check", is_flag=True, help="Check the file and the exporters' settings without starting.")
@click.option("--verbose", is_flag=True, help="Log at level INFO instead of WARNING.")
def command(path: Path, *, check: bool, verbose: bool) -> None:
    """Receive OTLP for the exporters that a file names, until SIGTERM or Ctrl-C.

    On a stop it rejects new requests, answers the pending ones, and lets each exporter finish.
    """
    _configure_logging(logging.INFO if verbose else logging.WARNING)
    # A class of one's own may be in a module beside the file. At the end, so that it hides no other module.
    sys.path.append(str(path.resolve().parent))
    try:
        host = Host(load_config(path))
        if check:
            names = ", ".join(host.config.exporters)
            click.echo(f"{path}: {len(host.config.listeners)} listeners, exporters {names}: valid")
            return
        stopped_in_time = host.run()
    except HostError as error:
        raise click.ClickException(str(error)) from error
    if not stopped_in_time:
        raise click.ClickException(
            "not every request was answered in time: senders will repeat those that were not acknowledged"
        )


def _configure_logging(level: int) -> None:
    """Log to standard error. Messages may contain text from outside, so they are escaped and bounded."""
    handler = logging.StreamHandler()
    handler.setFormatter(EscapingFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    handler.addFilter(RepetitionFilter())
    logging.basicConfig(level=level, handlers=[handler])
