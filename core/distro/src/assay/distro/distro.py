"""What `opentelemetry-instrument` asks first: the defaults, and how an instrumentation is started."""

from __future__ import annotations

import logging
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.util._importlib_metadata import EntryPoint

from assay.distro.standard import set_defaults

_OTEL_HANDLER = "opentelemetry.instrumentation.logging.handler"


class AssayDistro(BaseDistro):
    """Sets the defaults of the `OTEL_*` variables that nobody set."""

    def _configure(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        del kwargs
        set_defaults()

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:  # noqa: ANN401 - as above
        """Start one instrumentation, if the library that it is for is there.

        Upstream judges a whole distribution by its `instruments` extra. Ours hold several instrumentations,
        so each is asked for its own dependencies.

        Raises:
            DependencyConflictError: Its library is absent or of another version; the caller skips it.
        """
        kwargs |= {"skip_dep_check": False, "raise_exception_on_conflict": True}
        super().load_instrumentor(entry_point, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        for handler in logging.getLogger().handlers:
            if type(handler).__module__ == _OTEL_HANDLER and not any(
                isinstance(one, _LastResort) for one in handler.filters
            ):
                handler.addFilter(_LastResort(handler))


class _LastResort(logging.Filter):
    """Prints what only the OpenTelemetry handler hears, as Python does for a program without handlers.

    The handler on the root logger would otherwise silence the warnings of every program that sets up no
    logging.
    """

    def __init__(self, own: logging.Handler) -> None:
        super().__init__()
        self._own = own

    def filter(self, record: logging.LogRecord) -> bool:
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and not self._is_heard(record.name):
            last.handle(record)
        return True

    def _is_heard(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self._own for handler in logger.handlers):
                return True
            logger = logger.parent if logger.propagate else None
        return False
