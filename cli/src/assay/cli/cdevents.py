"""`assay cdevents`: commands for consumers of CDEvents."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from time import sleep
from typing import IO, Any

import click

from assay.cli._folder import DEFAULT_FOLDER, Folder
from assay.cli._options import default_file
from assay.endpoints import printable, printable_json
from assay.exporters.cdevents.cloudevents import decode
from assay.exporters.cdevents.dead_letters import replay as replay_dead_letters
from assay.exporters.cdevents.documents import validate as validate_text
from assay.exporters.cdevents.errors import CDEventsError, InvalidEvent
from assay.exporters.cdevents.receiver import ReceivedEvent, Receiver, validated

_POLL_SECONDS = 0.2
_KEPT = Folder(DEFAULT_FOLDER)
_TEXT = click.File(encoding="utf-8", errors="surrogateescape")


def _events(ctx: click.Context, parameter: click.Parameter, value: IO[Any] | None) -> IO[Any]:
    return value or _TEXT.convert(str(default_file(ctx, parameter, _KEPT.cdevents)), parameter, ctx)


def _outbox(ctx: click.Context, parameter: click.Parameter, value: Path | None) -> Path:
    return value or default_file(ctx, parameter, _KEPT.cdevents_outbox)


@click.group(epilog="Example: assay cdevents validate cdevents.jsonl")
def command() -> None:
    """Validate and receive CDEvents, and send dead letters again."""


@command.command(epilog="Example: assay cdevents validate cdevents.jsonl")
@click.argument("file", required=False, type=_TEXT, callback=_events)
def validate(file: IO[Any]) -> None:
    """Validate the events in FILE (`-` is standard input) against CDEvents v0.5.1.

    FILE holds structured CloudEvents, one a line, or one JSON document. By default it is that of `assay up`
    in the working directory. For each invalid event the line, the field and the reason are printed, and the
    exit status is 1.
    """
    types = Counter[str]()
    invalid = 0
    for result in validate_text(file.read()):
        if result.event is not None:
            types[result.event["context"]["type"]] += 1
            continue
        invalid += 1
        for fault in result.faults:
            click.echo(printable(f"{file.name}:{result.line}: {fault}"))
    for name, count in sorted(types.items()):
        click.echo(printable(f"{count:6d}  {name}"))
    click.echo(f"{types.total()} valid, {invalid} invalid")
    if invalid:
        raise click.exceptions.Exit(1)
    if not types:
        raise click.ClickException(f"{file.name}: the file has no events")


@command.command(epilog="Example: assay cdevents tail --port 8129 --count 10")
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8129,
    show_default=True,
    help="Port to listen on, on loopback; 0 takes a free port.",
)
@click.option("--json", "as_json", is_flag=True, help="Print each event as one line of JSON.")
@click.option("--count", type=click.IntRange(min=1), help="Exit after this many events.")
def tail(file: Path | None, port: int, *, as_json: bool, count: int | None) -> None:
    """Receive CDEvents over HTTP, validate and print them; with FILE, follow the file of a file sink.

    The exit status is 1 if an event was invalid.
    """
    invalid = 0
    with _following(file) if file else _listening(port) as events, contextlib.suppress(KeyboardInterrupt):
        for number, event in enumerate(events, 1):
            invalid += bool(event.fault)
            click.echo(
                printable_json(json.dumps(event.document)) if as_json and not event.fault else _line(event)
            )
            if number == count:
                break
    if invalid:
        raise click.ClickException(f"{invalid} events are invalid")


@command.command(epilog="Example: assay cdevents replay cdevents.db --sink ci")
@click.argument("outbox", required=False, type=click.Path(dir_okay=False, path_type=Path), callback=_outbox)
@click.option("--sink", help="Only the dead letters of this sink; by default all.")
def replay(outbox: Path, sink: str | None) -> None:
    """Send the dead letters in OUTBOX again; OUTBOX is the file of the exporter's setting `outbox`.

    By default it is that of `assay up` in the working directory. A running exporter sends them within
    seconds, otherwise it does so after its next start. Events that are not valid stay dead letters.
    """
    try:
        count = replay_dead_letters(outbox, sink=sink)
    except CDEventsError as error:
        raise click.ClickException(printable(str(error))) from error
    click.echo(f"{count} dead letters will be sent again")


@contextlib.contextmanager
def _listening(port: int) -> Generator[Iterator[ReceivedEvent]]:
    received: queue.SimpleQueue[ReceivedEvent] = queue.SimpleQueue()
    try:
        receiver = Receiver(port, received.put)
    except OSError as error:
        raise click.ClickException(f"cannot listen on 127.0.0.1:{port}: {error.strerror}") from error
    thread = threading.Thread(target=receiver.serve_forever, daemon=True)
    thread.start()
    click.echo(f"listening on http://127.0.0.1:{receiver.server_port}", err=True)
    try:
        yield iter(received.get, None)
    finally:
        receiver.shutdown()
        receiver.server_close()


@contextlib.contextmanager
def _following(path: Path) -> Generator[Iterator[ReceivedEvent]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error
    with file:
        yield _lines(file)


def _lines(file: Iterator[bytes]) -> Iterator[ReceivedEvent]:
    pending = b""
    while True:
        # A line without its line end is not yet written completely.
        pending += next(file, b"")
        if not pending.endswith(b"\n"):
            sleep(_POLL_SECONDS)
            continue
        yield _received(pending)
        pending = b""


def _received(line: bytes) -> ReceivedEvent:
    try:
        return validated(decode(line))
    except InvalidEvent as error:
        return ReceivedEvent({}, {}, str(error))


def _line(received: ReceivedEvent) -> str:
    if received.fault:
        return printable(f"INVALID  {received.document.get('type', '')}  {received.fault}")
    context, subject = received.event["context"], received.event["subject"]
    parts = (context["timestamp"], context["type"], subject["id"], subject["content"].get("outcome", ""))
    return printable("  ".join(str(part) for part in parts if part != ""))
