"""What a Collector binary is, says of itself, and lacks."""

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
_ANSWER_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class CollectorBinary:
    """A Collector that can be run here.

    Attributes:
        path: The executable.
        version: What it says its version is, for example `0.152.0`.
        source: Where it was found.
    """

    path: Path
    version: str
    source: Source


def inspect(path: Path) -> tuple[str, frozenset[str]]:
    """Asks the binary for its version and its components, written `processors/redaction`.

    Raises:
        CollectorError: It cannot be run, or does not answer as a Collector does.
    """
    result = _ask(path, ["components"])
    try:
        answer: dict[str, Any] = yaml.safe_load(result.stdout)
        version = str(answer["buildinfo"]["version"])
        components = frozenset(
            f"{kind}/{component['name']}" for kind in _KINDS for component in answer.get(kind) or ()
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError) as error:
        raise CollectorError(
            f"{path} does not answer `components` as an OpenTelemetry Collector does"
        ) from error
    return version, components


def named_components(configs: Iterable[Path]) -> frozenset[str]:
    """The components that configuration files name, written `processors/redaction`."""
    named: set[str] = set()
    for config in configs:
        content: Mapping[str, Any] = yaml.safe_load(config.read_text(encoding="utf-8")) or {}
        for kind in _KINDS:
            named.update(f"{kind}/{key.split('/', 1)[0]}" for key in content.get(kind) or ())
    return frozenset(named)


def accept(path: Path, source: Source, needed: AbstractSet[str]) -> CollectorBinary:
    """The binary at `path`, if it has every component in `needed`.

    Raises:
        CollectorError: It is no Collector, or lacks components; the message names them.
    """
    version, components = inspect(path)
    if missing := sorted(needed - components):
        raise CollectorError(f"{path} (version {version}) lacks {', '.join(missing)}")
    return CollectorBinary(path, version, source)


def validate(path: Path, configs: Iterable[Path], environment: Mapping[str, str]) -> None:
    """Lets the Collector itself judge the merged configurations.

    Args:
        path: The Collector.
        configs: The files, in the order in which they are merged.
        environment: The whole environment that `${env:…}` is resolved from.

    Raises:
        ConfigurationInvalidError: The Collector refuses them; the message is its own.
    """
    arguments = [f"--config={config}" for config in configs]
    result = _ask(path, ["validate", *arguments], environment)
    if result.returncode:
        said = (result.stderr or result.stdout).strip() or f"exit status {result.returncode}"
        raise ConfigurationInvalidError(said.removeprefix("Error: "))


def _ask(
    path: Path, arguments: list[str], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [str(path), *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_SECONDS,
            check=False,
            env=environment,
        )
    except OSError as error:
        raise CollectorError(f"{path} cannot be run: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise CollectorError(
            f"{path} {arguments[0]} gave no answer within {_ANSWER_SECONDS} seconds"
        ) from error
