"""Find exporter classes and validate their settings."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from assay.host._config import explain_section, nearest
from assay.host._settings import ExporterSettings
from assay.host.errors import ConfigError
from assay.host.exporter import Exporter, Signal

ENTRY_POINT_GROUP = "assay_exporter"


def installed() -> list[str]:
    """Return the names of the installed exporter types."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


def find(name: str, kind: str) -> Callable[..., Exporter]:
    """Return the exporter class that an entry-point name or `module:Class` names.

    Args:
        name: The exporter's name in the configuration, for error messages.
        kind: The exporter's `type` in the configuration.

    Raises:
        ConfigError: The class does not exist, cannot be imported, or is not an exporter.
    """
    where = f"exporters.{name}.type"
    if ":" in kind:
        entry = EntryPoint(name, kind, ENTRY_POINT_GROUP)
    else:
        matching = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == kind]
        if not matching:
            types = installed()
            raise ConfigError(
                f"{where}: no exporter {kind!r} is installed; {nearest(kind, types)}"
                f" Installed: {', '.join(types)}. Name a class of your own as 'module:Class'."
            )
        entry = matching[0]
    try:
        found = entry.load()
    except Exception as error:  # importing a module may raise anything
        raise ConfigError(f"{where}: cannot import {kind!r}: {type(error).__name__}: {error}") from error
    _check(found, where, kind)
    return found


def _check(found: Any, where: str, kind: str) -> None:  # noqa: ANN401  the name may denote any object
    missing = [name for name in ("export", "shutdown") if not callable(getattr(found, name, None))]
    signals = getattr(found, "signals", None)
    known = set(get_args(Signal))
    if not isinstance(signals, frozenset) or not signals or not cast("frozenset[str]", signals) <= known:
        missing.append(f"signals, a frozenset of {', '.join(sorted(known))}")
    if missing:
        raise ConfigError(f"{where}: {kind!r} is not an exporter: it lacks {'; '.join(missing)}")


def _check_signals(name: str, settings: ExporterSettings, cls: Any) -> None:  # noqa: ANN401  a checked class
    not_taken = sorted((settings.signals or frozenset()) - cls.signals)
    if not_taken:
        raise ConfigError(
            f"exporters.{name}.signals: {settings.type!r} does not take {', '.join(not_taken)};"
            f" it takes {', '.join(sorted(cls.signals))}"
        )


def validate(name: str, settings: ExporterSettings) -> Callable[[], Exporter]:
    """Validate an exporter's section of the configuration and return a factory of the exporter.

    Raises:
        ConfigError: The type or one of its settings is not valid.
    """
    cls = find(name, settings.type)
    _check_signals(name, settings, cls)
    model: type[BaseModel] | None = getattr(cls, "Settings", None)
    if model is None:
        if settings.own:
            raise ConfigError(
                f"exporters.{name}: {settings.type!r} has no settings; remove {', '.join(settings.own)}"
            )
        return cls
    try:
        own = model.model_validate(dict(settings.own))
    except ValidationError as error:
        raise ConfigError(explain_section(error, model, f"exporters.{name}")) from None
    return lambda: cls(own)
