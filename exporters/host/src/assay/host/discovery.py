"""Finding exporter classes and making exporters of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError

from assay.host.config import explain_section, nearest
from assay.host.errors import ConfigError
from assay.host.exporter import Exporter, Signal
from assay.host.settings import ExporterSettings

GROUP = "assay_exporter"


def installed() -> list[str]:
    """The names of the exporter types that are installed."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def find(name: str, kind: str) -> Callable[..., Exporter]:
    """Find an exporter class by entry-point name or as `module:Class`.

    Args:
        name: The exporter's name in the configuration, for the error.
        kind: Its `type`.

    Raises:
        ConfigError: There is none, it cannot be imported, or it is no exporter.
    """
    where = f"exporters.{name}.type"
    if ":" in kind:
        entry = EntryPoint(name, kind, GROUP)
    else:
        matching = [entry for entry in entry_points(group=GROUP) if entry.name == kind]
        if not matching:
            types = installed()
            raise ConfigError(
                f"{where}: no exporter {kind!r} is installed; {nearest(kind, types)}"
                f" Installed: {', '.join(types)}. A class of your own is named as 'module:Class'."
            )
        entry = matching[0]
    try:
        found = entry.load()
    except Exception as error:  # a module may raise anything
        raise ConfigError(f"{where}: {kind!r} cannot be imported: {type(error).__name__}: {error}") from error
    _check(found, where, kind)
    return found


def _check(found: Any, where: str, kind: str) -> None:  # noqa: ANN401  anything may have been named
    missing = [name for name in ("export", "shutdown") if not callable(getattr(found, name, None))]
    signals = getattr(found, "signals", None)
    known = set(get_args(Signal))
    if not isinstance(signals, frozenset) or not signals or not cast("frozenset[str]", signals) <= known:
        missing.append(f"signals, a frozenset of {', '.join(sorted(known))}")
    if missing:
        raise ConfigError(f"{where}: {kind!r} is no exporter, it lacks {'; '.join(missing)}")


def _check_signals(name: str, settings: ExporterSettings, cls: Any) -> None:  # noqa: ANN401  a checked class
    not_taken = sorted((settings.signals or frozenset()) - cls.signals)
    if not_taken:
        raise ConfigError(
            f"exporters.{name}.signals: {settings.type!r} does not take {', '.join(not_taken)};"
            f" it takes {', '.join(sorted(cls.signals))}"
        )


def validate(name: str, settings: ExporterSettings) -> Callable[[], Exporter]:
    """Check an exporter's settings; what is returned makes the exporter.

    Raises:
        ConfigError: The type or one of its settings does not hold.
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
