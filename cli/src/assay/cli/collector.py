"""`assay collector`: build, locate, check and run the OpenTelemetry Collector."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from assay.cli._collector.binary import CollectorBinary, validate
from assay.cli._collector.errors import CollectorError, CollectorNotFoundError, ConfigurationInvalidError
from assay.cli._collector.files import COMPOSITIONS, Composition, config_directory
from assay.cli._collector.reach import check_reach
from assay.cli._collector.sources import PRESENT, SOURCES, find_collector
from assay.cli._progress import ReportProgress, progress_status

_NAMES = click.Choice(list(COMPOSITIONS))
_CONFIG = click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Another configuration file, merged over those of the composition. May be repeated.",
)


@click.group("collector")
def command() -> None:
    """Build, check and run the OpenTelemetry Collector.

    \b
    The Collector is the first that is found in
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

    This needs Go, and takes minutes unless the cache already has the Collector.

    \b
    Example:
      assay collector build
    """
    from assay.cli._collector.build import build_collector  # noqa: PLC0415  only a build needs fcntl

    go = shutil.which("go")
    if go is None:
        raise CollectorError("go is not on PATH: install Go, https://go.dev/dl")
    with progress_status() as report:
        path = build_collector(Path(go), report)
    click.echo(path)


@command.command("path")
def path() -> None:
    """Print the path of the Collector that would be used, without a build; exit 1 if there is none.

    \b
    Example:
      "$(assay collector path)" components
    """
    click.echo(_require(PRESENT).path)


@command.command("validate")
@click.argument("compositions", nargs=-1, type=_NAMES)
@_CONFIG
def check(compositions: tuple[str, ...], configs: tuple[Path, ...]) -> None:
    """Check configurations with the Collector: the named compositions, or all.

    With --config and compositions, the files are merged over each composition; with --config alone they are
    checked by themselves. A variable without a default that is not set gets an example value.

    \b
    Example:
      assay collector validate
      assay collector validate gateway --config mine.yaml
    """
    chosen = [COMPOSITIONS[name] for name in compositions]
    if not chosen and not configs:
        chosen = list(COMPOSITIONS.values())
    check_reach(os.environ)
    with progress_status() as report:
        binary = _require(SOURCES, report)
    failed = 0
    for composition in chosen or [Composition("your files", ())]:
        files = [*composition.paths, *configs]
        try:
            validate(binary.path, files, {**composition.required, **os.environ})
        except ConfigurationInvalidError as error:
            failed += 1
            click.secho(f"{composition.name}: invalid ({_names(files)})\n{error}", fg="red", err=True)
        else:
            click.echo(f"{composition.name}: valid ({_names(files)})")
    click.echo(f"checked by {binary.path}, version {binary.version}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


@command.command("run")
@click.argument("composition", default="all-in-one", type=_NAMES)
@_CONFIG
def run(composition: str, configs: tuple[Path, ...]) -> None:
    """Run a Collector in the foreground; the default composition has all pipelines in one process.

    This process becomes the Collector: signals, standard error and exit status are the Collector's.
    collector-config/README.md lists its variables. Its queues are in ASSAY_COLLECTOR_STORAGE, else in the
    user's state directory.

    \b
    Example:
      ASSAY_AUDIT_TOKEN=… assay collector run
      assay collector run gateway --config mine.yaml
    """
    chosen = COMPOSITIONS[composition]
    if missing := [name for name in chosen.required if not os.environ.get(name)]:
        raise CollectorError(f"{composition} needs {', '.join(missing)}: set and export it")
    check_reach(os.environ)
    with progress_status() as report:
        binary = _require(SOURCES, report)
    environment = {"ASSAY_COLLECTOR_STORAGE": str(_state_directory()), **os.environ}
    files = [*chosen.paths, *configs]
    # `validate` reports an invalid configuration in a few lines, a start in about 40.
    validate(binary.path, files, environment)
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = [str(binary.path), *(f"--config={file}" for file in files)]
    os.execve(binary.path, arguments, environment)  # noqa: S606  no shell is needed


def _require(sources: tuple[str, ...], report: ReportProgress = lambda _: None) -> CollectorBinary:
    binary = find_collector("require", sources=[each for each in SOURCES if each in sources], report=report)
    if binary is None:
        raise CollectorNotFoundError("no OpenTelemetry Collector is available")
    return binary


def _state_directory() -> Path:
    # XDG base directory specification: a relative path is ignored.
    xdg = os.environ.get("XDG_STATE_HOME", "")
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".local/state") / "assay" / "collector"


def _names(files: list[Path]) -> str:
    shipped = config_directory()
    return " + ".join(file.name if file.parent == shipped else str(file) for file in files)
