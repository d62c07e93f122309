"""The distro that `opentelemetry-instrument` loads first: sets defaults, and loads each instrumentation."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.util._importlib_metadata import EntryPoint

from assay.distro._collection import paused
from assay.distro._otel_handler import adjust
from assay.distro._otel_variables import set_defaults


class AssayDistro(BaseDistro):
    """Sets the defaults of the `OTEL_*` variables that are not set."""

    def _configure(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        del kwargs
        set_defaults()

    def load_instrumentor(self, entry_point: EntryPoint, **kwargs: Any) -> None:  # noqa: ANN401 - as above
        """Load one instrumentation if a supported version of its library is installed.

        Upstream checks a whole distribution by its `instruments` extra. Our distributions hold several
        instrumentations, so the dependencies of each are checked.

        Raises:
            DependencyConflictError: Its library is not installed, or has an unsupported version. The caller
                logs the latter and skips the instrumentation.
        """
        kwargs |= {"skip_dep_check": False, "raise_exception_on_conflict": True}
        with paused():
            super().load_instrumentor(entry_point, **kwargs)  # pyright: ignore[reportUnknownMemberType]
        adjust()
