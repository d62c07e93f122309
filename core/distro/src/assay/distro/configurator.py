"""The configurator that `opentelemetry-instrument` loads second: providers, bridges, audit trail."""

from __future__ import annotations

import logging
from typing import Any

from assay.distro import _lifecycle, _otel_variables, _outages
from assay.distro._collection import paused
from assay.distro._settings import Settings, read

# The SDK reads some variables when it is imported, and fails then if one is wrong.
_changes, _wrong_variables = _otel_variables.corrections()
with paused(), _otel_variables.environment(_changes):
    from opentelemetry.sdk._configuration import _OTelSDKConfigurator  # pyright: ignore[reportPrivateUsage]

_logger = logging.getLogger("assay.distro")


class AssayConfigurator(_OTelSDKConfigurator):
    """Upstream's configurator with Assay's processors, and the bus's bridges attached.

    A second call in one process (a worker that is set up explicitly and by `opentelemetry-instrument` too)
    only adopts a changed ASSAY_INSTRUMENTS.
    """

    def _configure(self, **kwargs: Any) -> None:  # noqa: ANN401 - upstream's signature
        with paused():
            self._set_up(kwargs)

    def _set_up(self, arguments: dict[str, Any]) -> None:
        settings, wrong = read()
        if _lifecycle.is_set_up():
            _lifecycle.update(settings)
            return
        _set_up_logs(settings)
        if _otel_variables.is_disabled():
            _logger.warning("OTEL_SDK_DISABLED is true: nothing is sent, audit records included")
            return
        for error in (*wrong, *_wrong_variables):
            _logger.warning("%s", error)
        changes = _changes if settings.instruments else {**_changes, "OTEL_METRICS_EXPORTER": "none"}
        _outages.install()
        from assay.distro import otlp_http  # noqa: PLC0415 - not if disabled

        otlp_http.load_with_the_application()
        with _otel_variables.environment(changes), _otel_variables.environment(otlp_http.selected()):
            super()._configure(**_components(settings), **arguments)  # pyright: ignore[reportUnknownMemberType]
        _redact_metrics()
        _redact_propagation()
        _lifecycle.set_up(settings)


def _components(settings: Settings) -> dict[str, Any]:
    from assay.distro._processors import log_processor, span_processor  # noqa: PLC0415 - not if disabled

    components: dict[str, Any] = {
        "export_span_processor": span_processor,
        "export_log_record_processor": log_processor,
    }
    if settings.logs == "json":
        from assay.distro._bridges import catalogue  # noqa: PLC0415 - only if asked for
        from assay.distro._event_lines import EventLines  # noqa: PLC0415 - as above

        components["log_record_processors"] = [EventLines(catalogue(settings.registry), settings.logs_stream)]
    return components


def _redact_metrics() -> None:
    from opentelemetry.metrics import get_meter_provider  # noqa: PLC0415 - not if disabled

    from assay.distro._processors import redact_metrics  # noqa: PLC0415 - as above

    redact_metrics(get_meter_provider())


def _redact_propagation() -> None:
    from assay.distro._propagation import install  # noqa: PLC0415 - not if disabled

    install()


def _set_up_logs(settings: Settings) -> None:
    if settings.logs == "json":
        from assay.distro._json_logs import install  # noqa: PLC0415 - only if asked for

        install()
