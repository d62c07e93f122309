"""`assay collector`: build, check, run and locate the OpenTelemetry Collector."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from assay.cli._collector.binary import CollectorBinary, validate
from assay.cli._collector.errors import CollectorError, CollectorNotFoundError, ConfigurationInvalidError
from assay.cli._collector.files import COMPOSITIONS, Composition, config_directory
from assay.cli._collector.sources import PRESENT, SOURCES, Report, find_collector

_NAMES = click.Choice(list(COMPOSITIONS))
_CONFIG = click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A further configuration file, merged over those of the composition. May be repeated.",
)


@click.group("collector")
def command() -> None:
    """The OpenTelemetry Collector: build it, check its configurations, run it.

    \b
    A Collector is taken from the first of
      1. ASSAY_COLLECTOR, the path of one;
      2. the cache (ASSAY_CACHE_DIR, else the user's cache directory);
      3. an otelcol-contrib on PATH that has every component needed;
      4. a build with Go, which takes minutes, once;
      5. the official container image, through Docker.

    \b
    Example:
      assay collector validate
      ASSAY_AUDIT_TOKEN=… assay collector run all-in-one
    """


@command.command("build")
def build() -> None:
    """Build the Collector into the cache, from the pinned manifest and its lock.

    Needs Go. Takes minutes the first time, and no time when the cache has it.

    \b
    Example:
      assay collector build
    """
    from assay.cli._collector.build import build_collector  # noqa: PLC0415  needs fcntl, the rest does not

    go = shutil.which("go")
    if go is None:
        raise CollectorError("go is not on PATH: install Go, https://go.dev/dl")
    with _progress() as report:
        path = build_collector(Path(go), report)
    click.echo(path)


@command.command("path")
def path() -> None:
    """Print the Collector that would be used, without making one; exit 1 if there is none.

    \b
    Example:
      "$(assay collector path)" components
    """
    click.echo(_found(PRESENT).path)


@command.command("validate")
@click.argument("compositions", nargs=-1, type=_NAMES)
@_CONFIG
def check(compositions: tuple[str, ...], configs: tuple[Path, ...]) -> None:
    """Let the Collector itself check configurations: every composition, or those named.

    With --config alone it checks those files by themselves; with compositions, merged over each of them. A
    variable that has no default and is not set is given an example value.

    \b
    Example:
      assay collector validate
      assay collector validate gateway --config mine.yaml
    """
    chosen = [COMPOSITIONS[name] for name in compositions]
    if not chosen and not configs:
        chosen = list(COMPOSITIONS.values())
    with _progress() as report:
        binary = _found(SOURCES, report)
    failed = 0
    for composition in chosen or [Composition("your files", ())]:
        files = [*composition.paths, *configs]
        try:
            validate(binary.path, files, {**composition.required, **os.environ})
        except ConfigurationInvalidError as error:
            failed += 1
            click.secho(f"{composition.name}: not valid ({_shown(files)})\n{error}", fg="red", err=True)
        else:
            click.echo(f"{composition.name}: valid ({_shown(files)})")
    click.echo(f"checked by {binary.path}, version {binary.version}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


@command.command("run")
@click.argument("composition", default="all-in-one", type=_NAMES)
@_CONFIG
def run(composition: str, configs: tuple[Path, ...]) -> None:
    """Run a Collector in the foreground, by default everything in one process.

    This process becomes the Collector: signals, standard error and exit status are its own. The variables it
    takes are in collector-config/README.md. Its queues are kept in ASSAY_COLLECTOR_STORAGE, else in the
    user's state directory.

    \b
    Example:
      ASSAY_AUDIT_TOKEN=… assay collector run
      assay collector run gateway --config mine.yaml
    """
    chosen = COMPOSITIONS[composition]
    if missing := [name for name in chosen.required if not os.environ.get(name)]:
        raise CollectorError(f"{composition} needs {', '.join(missing)}: set and export it")
    with _progress() as report:
        binary = _found(SOURCES, report)
    environment = {"ASSAY_COLLECTOR_STORAGE": str(_state_directory()), **os.environ}
    files = [*chosen.paths, *configs]
    # The Collector's own answer to a configuration that is wrong is 40 lines long; this one is short.
    validate(binary.path, files, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = [str(binary.path), *(f"--config={file}" for file in files)]
    os.execve(binary.path, arguments, environment)  # noqa: S606  no shell is what is wanted


def _found(sources: tuple[str, ...], report: Report = lambda _: None) -> CollectorBinary:
    binary = find_collector("require", sources=[each for each in SOURCES if each in sources], report=report)
    if binary is None:
        raise CollectorNotFoundError("no Collector was looked for")
    return binary


def _state_directory() -> Path:
    # The XDG base directory specification: a path that is not absolute counts as not set.
    xdg = os.environ.get("XDG_STATE_HOME", "")
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".local/state") / "assay" / "collector"


def _shown(files: list[Path]) -> str:
    ours = config_directory()
    return " + ".join(file.name if file.parent == ours else str(file) for file in files)


@contextmanager
def _progress() -> Generator[Report, None, None]:
    """On a terminal one line that changes, elsewhere a line each; on standard error, to keep output clean."""
    if not sys.stderr.isatty():
        yield lambda text: click.echo(text, err=True)
        return
    from rich.console import Console  # noqa: PLC0415  90 ms that a script does not need

    console = Console(stderr=True)
    with console.status("") as status:

        def report(text: str) -> None:
            if text[:2].strip("1234/"):
                console.print(text, highlight=False, markup=False)
            else:
                status.update(text)

        yield report
