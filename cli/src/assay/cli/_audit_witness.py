"""`assay audit witness`: cosign the checkpoints of logs, as a C2SP witness."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from assay.cli._audit_options import FILE, UncheckedError
from assay.cli._messages import safe
from assay.endpoints import EndpointError, parse_address, printable
from assay.exporters.audit import AuditLogError, Witness, load_trusted, witness_app
from assay.host import HostError, LimitSettings
from assay.host.http_server import listen

_CONNECTIONS = 64


@click.command("witness")
@click.option("--name", required=True, help="Permanent name of the witness, such as witness.example.com/w1.")
@click.option("--key", type=FILE, required=True, help="File of its signing key; the first start creates it.")
@click.option("--state", type=FILE, required=True, help="Its database; the first start creates it.")
@click.option(
    "--log",
    "logs",
    type=FILE,
    multiple=True,
    required=True,
    help="File of a log's verifier keys, one a line. May be repeated, for each log that it cosigns.",
)
@click.option("--address", default="127.0.0.1:7380", show_default=True, help="Address to listen on.")
def witness(name: str, key: Path, state: Path, logs: tuple[Path, ...], address: str) -> None:
    """Cosign checkpoints that extend the last one, until SIGTERM or Ctrl-C.

    Run it where the log's owner has no access. It serves POST /add-checkpoint of C2SP tlog-witness without
    TLS: put a reverse proxy before it to serve other machines.

    \b
    Example:
      assay audit witness --name witness.example.com/w1 --key w1.key --state w1.db --log audit/verifier.key
    """
    try:
        parse_address(address)
        opened = Witness(name, key, state, [load_trusted(log) for log in logs])
    except (AuditLogError, EndpointError) as error:
        raise UncheckedError(safe(str(error))) from error
    try:
        asyncio.run(_serve(opened, address))
    except HostError as error:
        raise UncheckedError(safe(str(error))) from error
    finally:
        opened.close()


async def _serve(opened: Witness, address: str) -> None:
    """Serve until a signal; the first two lines of the output are the verifier key and the URL."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = listen("witness", address, witness_app(opened), LimitSettings(connections=_CONNECTIONS))
    await server.start()
    host, port = server.address
    click.echo(printable(opened.verifier_key))
    click.echo(f"http://{f'[{host}]' if ':' in host else host}:{port}/add-checkpoint")
    await stop.wait()
    await server.stop()
