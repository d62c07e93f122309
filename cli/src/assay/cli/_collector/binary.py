"""Inspect a Collector binary: its version, its components, and whether it accepts configurations."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any, Literal

import yaml

from assay.cli._collector.errors import CollectorError, ConfigurationInvalidError

Source = Literal["env", "cache", "path", "built", "container"]

_KINDS = ("receivers", "processors", "exporters", "connectors", "extensions")
_COMMAND_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class CollectorBinary:
    """A Collector that runs on this machine.

    Attributes:
        path: The executable.
        version: The version that it reports, for example `0.152.0`.
        source: Where it was found.
    """

    path: Path
    version: str
    source: Source


def inspect(path: Path) -> tuple[str, frozenset[str]]:
    """Return a Collector's version and its components, written `processors/redaction`.

    Raises:
        CollectorError: The program cannot be run, or its output is not that of a Collector.
    """
    result = _run(path, ["components"])
    try:
        answer: dict[str, Any] = yaml.safe_load(result.stdout)
        version = str(answer["buildinfo"]["version"])
        components = frozenset(
            f"{kind}/{component['name']}" for kind in _KINDS for component in answer.get(kind) or ()
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CollectorError(
            f"{path} is not an OpenTelemetry Collector: `components` has another output"
        ) from error
    return version, components


def named_components(configs: Iterable[Path]) -> frozenset[str]:
    """Return the components that configuration files name, written `processors/redaction`."""
    named: set[str] = set()
    for config in configs:
        content: Mapping[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        for kind in _KINDS:
            named.update(f"{kind}/{key.split('/', 1)[0]}" for key in content.get(kind) or ())
    return frozenset(named)


def accept(path: Path, source: Source, needed: AbstractSet[str]) -> CollectorBinary:
    """Return the Collector at `path` if it has every component in `needed`.

    Raises:
        CollectorError: The program is not a Collector, or lacks components; the message names them.
    """
    version, components = inspect(path)
    if missing := sorted(needed - components):
        raise CollectorError(f"{path} (version {version}) lacks {', '.join(missing)}")
    return CollectorBinary(path, version, source)


def validate(path: Path, configs: Iterable[Path], environment: Mapping[str, str]) -> None:
    """Check merged configuration files with the Collector's own `validate` command.

    Args:
        path: The Collector.
        configs: The files, in the order in which they are merged.
        environment: The whole environment from which `${env:…}` is resolved.

    Raises:
        ConfigurationInvalidError: The Collector rejects them; the message is the Collector's.
    """
    arguments = [f"--config={config}" for config in configs]
    result = _run(path, ["validate", *arguments], environment)
    if result.returncode:
        message = (result.stderr or result.stdout).strip() or f"exit status {result.returncode}"
        raise ConfigurationInvalidError(message.removeprefix("Error: "))


def _run(
    path: Path, arguments: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(path), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_COMMAND_SECONDS,
            check=False,
            env=environment,
        )
    except OSError as error:
        raise CollectorError(f"{path} cannot be run: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise CollectorError(
            f"`{path} {arguments[0]}` did not end within {_COMMAND_SECONDS} seconds"
        ) from error
