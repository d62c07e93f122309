"""The application's provider, for callers that are not given a logger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assay.audit.errors import ConfigurationError

if TYPE_CHECKING:
    from assay.audit._logger import AuditLogger
    from assay.audit._provider import AuditProvider

_provider: AuditProvider | None = None


def set_provider(provider: AuditProvider) -> None:
    """Set the provider of `get_logger`, once, at the start of the application.

    Args:
        provider: The application's; a later call replaces it.
    """
    global _provider  # noqa: PLW0603 - a process has one, as OpenTelemetry's providers
    _provider = provider


def get_logger(name: str) -> AuditLogger:
    """Return a logger of the application's provider.

    Args:
        name: The component that emits records.

    Raises:
        ConfigurationError: No provider is set.
        ShutdownError: The provider is shut down.
    """
    if _provider is None:
        raise ConfigurationError("the application has no audit provider: call assay.audit.set_provider first")
    return _provider.get_logger(name)
