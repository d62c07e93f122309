"""The application's provider, for callers that are not given a logger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from assay.audit.errors import ConfigurationError

if TYPE_CHECKING:
    from assay.audit._logger import AuditLogger
    from assay.audit._provider import AuditProvider

_provider: AuditProvider | None = None
_find_provider: Callable[[], AuditProvider] | None = None


def set_provider(provider: AuditProvider) -> None:
    """Set the provider of `get_logger`, once, at the start of the application.

    Args:
        provider: The application's; a later call replaces it.
    """
    global _provider  # noqa: PLW0603 - a process has one, as OpenTelemetry's providers
    _provider = provider


def set_default_provider(find: Callable[[], AuditProvider]) -> None:
    """Set the function that returns the provider of an application that sets none itself.

    The distro calls this, so that a program under `opentelemetry-instrument` needs no `set_provider`.

    Args:
        find: Returns the current process's provider, or raises `ConfigurationError`. Called by each
            `get_logger`, since a forked child has a provider of its own.
    """
    global _find_provider  # noqa: PLW0603 - as `_provider`
    _find_provider = find


def get_logger(name: str) -> AuditLogger:
    """Return a logger of the application's provider: the one that it has set, else the distro's.

    Args:
        name: The component that emits records.

    Raises:
        ConfigurationError: No provider is set, or the distro's settings are wrong.
        ShutdownError: The provider is shut down.
    """
    if _provider is not None:
        return _provider.get_logger(name)
    if _find_provider is not None:
        return _find_provider().get_logger(name)
    raise ConfigurationError(
        "the application has no audit provider: call assay.audit.set_provider first, or start the program"
        " with opentelemetry-instrument and assay-distro"
    )
