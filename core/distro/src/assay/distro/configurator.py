"""What `opentelemetry-instrument` asks second: the providers, the bridge and the audit logger."""

from __future__ import annotations

import logging
from typing import Any

from assay.distro import lifecycle, outages, standard
from assay.distro.settings import Settings, read

# The SDK reads some variables when it is imported, and one that is wrong stops it then.
_changes, _wrong_standard = standard.mended()
with standard.environment(_changes):
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # pyright: ignore[reportPrivateUsage]

_logger = logging.getLogger("assay.distro")


class AssayConfigurator(_OTelSDKConfigurator):
    """Upstream's configurator with Assay's processors, and the bridge attached to the bus.

    A second call in one process (a worker that is set up explicitly and by `opentelemetry-instrument` too)
    only takes over a changed ASSAY_INSTRUMENTS.
    """

    def _configure(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        settings, wrong = read()
        if lifecycle.is_set_up():
            lifecycle.attach_bridge(settings)
            return
        _set_up_logs(settings)
        if standard.is_disabled():
            _logger.warning("OTEL_SDK_DISABLED is true: nothing is sent, audit records included")
            return
        for error in (*wrong, *_wrong_standard):
            _logger.warning("%s", error)
        changes = _changes if settings.instruments else {**_changes, "OTEL_METRICS_EXPORTER": "none"}
        outages.install()
        with standard.environment(changes):
            super()._configure(**_processors(settings), **kwargs)  # pyright: ignore[reportUnknownMemberType]
        lifecycle.set_up(settings)


def _processors(settings: Settings) -> dict[str, Any]:
    from assay.distro.processors import log_processor, span_processor  # noqa: PLC0415 - not if disabled

    processors: dict[str, Any] = {
        "export_span_processor": span_processor,
        "export_log_record_processor": log_processor,
    }
    if settings.logs == "json":
        from assay.distro.eventlines import EventLines  # noqa: PLC0415 - only if asked for

        catalogue = lifecycle.catalogue(settings.registry)
        processors["log_record_processors"] = [EventLines(catalogue, settings.logs_stream)]
    return processors


def _set_up_logs(settings: Settings) -> None:
    if settings.logs == "json":
        from assay.distro.jsonlogs import install  # noqa: PLC0415 - only if asked for

        install()
