"""Instrumentors: of a subsystem's bus events, and of the libraries that emit them.

```python
SHOP = Subsystem("shop", package="opentelemetry.instrumentation.shop")


class ShopInstrumentor(BusInstrumentor):
    subsystem = SHOP


class CartInstrumentor(LibraryInstrumentor):
    subsystem = SHOP
    dependencies = ("cart >= 2.0",)
    hook_points = (HookPoint("request_hook", "SHOP_CART_REQUEST_HOOK"),)

    def patch(self, patches, hooks):
        patches.wrap(Target("cart.api", "Cart.add"), Carts(hooks["request_hook"]).add)
```

Both are entry points of `opentelemetry_instrumentor`: the bus instrumentor under its subsystem's name.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar

from opentelemetry.instrumentation.instrumentor import (  # pyright: ignore[reportMissingTypeStubs]
    BaseInstrumentor,
)
from opentelemetry.metrics import MeterProvider

from assay.instrumentation import _leases
from assay.instrumentation._dependencies import is_missing, is_unsupported
from assay.instrumentation.hooks import HookPoint, Hooks
from assay.instrumentation.patches import Patches
from assay.instrumentation.subsystems import Subsystem

_logger = logging.getLogger(__name__)


class BusInstrumentor(BaseInstrumentor):
    """Emits a subsystem's bus events through OpenTelemetry: it attaches a bridge for them.

    Several subsystems are instrumented side by side, each with providers of its own. A distro may set the
    catalogue and the audit trail for all of them (`assay.telemetry.bridge.set_defaults`).

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones.

    Attributes:
        subsystem: Set by each subclass.
    """

    subsystem: ClassVar[Subsystem]

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return none: the events are those of the program and of other instrumentations."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        _leases.acquire(self.subsystem, type(self), kwargs)

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - upstream's signature
        _leases.release(self.subsystem, type(self))


class LibraryInstrumentor(BaseInstrumentor):
    """Makes a library emit the bus events of a subsystem.

    It shares its subsystem's bridge with the subsystem's other instrumentors. The first one attaches the
    bridge, with the providers that it gets; the last one to be uninstrumented detaches it. A
    `LibraryInstrumentor` does not attach the bridge if OTEL_PYTHON_DISABLED_INSTRUMENTATIONS names the
    subsystem, or is `*`.

    Args (of `instrument`):
        tracer_provider, meter_provider, logger_provider: Used instead of the global ones, unless the
            subsystem's bridge is attached already.
        (the names of the hook points): Functions of the user.

    Attributes:
        subsystem: Set by each subclass.
        dependencies: The versions of the library that are supported, as requirements.
        hook_points: The hooks that it offers.
    """

    subsystem: ClassVar[Subsystem]
    dependencies: ClassVar[tuple[str, ...]] = ()
    hook_points: ClassVar[tuple[HookPoint, ...]] = ()

    _patches: Patches | None = None
    _hooks: Hooks | None = None

    @abstractmethod
    def patch(self, patches: Patches, hooks: Hooks) -> None:
        """Patch the library.

        Args:
            patches: Applies the patches when the library is imported, and undoes them.
            hooks: The user's functions, by the names of `hook_points`.
        """

    @property
    def hooks(self) -> Hooks:
        """The user's hooks; none while the library is not instrumented."""
        return self._hooks or Hooks(self.hook_points)

    @property
    def meter_provider(self) -> MeterProvider | None:
        """The meter provider of the subsystem's bridge; None is the global one."""
        return _leases.meter_provider(self.subsystem)

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the versions of the library that are supported, as requirements."""
        return self.dependencies

    def instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        """Instrument the library.

        An unsupported version of the library is logged once as a warning and left alone. This check cannot be
        skipped: OpenTelemetry's loader asks every instrumentor to skip its checks (`skip_dep_check`).
        """
        if self.is_instrumented_by_opentelemetry:
            super().instrument(**kwargs)  # logs that it is
            return
        if is_unsupported(type(self).__name__, self.dependencies):
            return
        if kwargs.get("skip_dep_check") and is_missing(self.dependencies):
            _logger.debug("%s: %s is not installed", type(self).__name__, ", ".join(self.dependencies))
            return
        super().instrument(**kwargs)

    def _instrument(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        self._lease_bridge(kwargs)
        self._hooks = Hooks(self.hook_points, kwargs)
        self._patches = Patches()
        try:
            self.patch(self._patches, self._hooks)
        except BaseException:
            self._uninstrument()
            raise

    def _uninstrument(self, **kwargs: Any) -> None:  # noqa: ANN401, ARG002 - upstream's signature
        if self._patches is not None:
            self._patches.restore()
        self._patches = self._hooks = None
        _leases.release(self.subsystem, type(self))

    def _lease_bridge(self, arguments: dict[str, Any]) -> None:
        if not _leases.is_disabled(self.subsystem.name):
            _leases.acquire(self.subsystem, type(self), arguments)
        elif any(arguments.get(name) is not None for name in _leases.PROVIDERS):
            _logger.warning(
                "the providers given to %s are not used: OTEL_PYTHON_DISABLED_INSTRUMENTATIONS disables %s",
                type(self).__name__,
                self.subsystem.name,
            )
