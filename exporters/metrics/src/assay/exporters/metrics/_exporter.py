"""The exporter: adds the points of a batch to the series, and serves them."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import ClassVar

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from pydantic import BaseModel, Field, model_validator

from assay.endpoints import is_loopback, parse_address
from assay.exporters.metrics import _metrics
from assay.exporters.metrics._current import CurrentValues
from assay.exporters.metrics._endpoint import MetricsEndpoint
from assay.exporters.metrics._exposition import encode
from assay.exporters.metrics._points import Point, Unusable, read_points
from assay.exporters.metrics._store import Limits, SeriesStore
from assay.exporters.metrics.errors import StoreError
from assay.host import Address, Batch, Retry, Secret, Signal

_log = logging.getLogger("assay.metrics")
_PRUNE_SECONDS = 60.0
_WARN_SECONDS = 60.0


class Settings(BaseModel, extra="forbid", hide_input_in_errors=True):
    """The exporter's section of the host's configuration."""

    database: Path = Field(description="SQLite file of the series. One exporter at a time can use it.")
    address: Address = Field(
        default="127.0.0.1:8889",
        description="`host:port` of `/metrics`; port 0 takes any free port.",
    )
    token: Secret | None = Field(
        default=None, description="Bearer token that scrapers must present; required beyond loopback."
    )
    zero_seconds: float = Field(
        default=60.0,
        ge=0,
        description="Seconds for which Prometheus gets a new series as 0; at least the longest scrape"
        " interval.",
    )
    gauge_seconds: float = Field(
        default=150.0,
        gt=0,
        description="Seconds after which the gauges of a process that reports none disappear; more than two"
        " export intervals.",
    )
    process_hours: float = Field(
        default=24.0, gt=0, description="Hours after which a process that reports nothing is forgotten."
    )
    series_days: float = Field(
        default=30.0, gt=0, description="Days after which a series that no process reports is removed."
    )
    series: int = Field(
        default=100_000, ge=1, description="Number of series. Points of further series are dropped."
    )

    @model_validator(mode="after")
    def _authenticates_beyond_loopback(self) -> Settings:
        if self.token is None and not is_loopback(parse_address(self.address).host):
            raise ValueError(f"other machines can reach {self.address} without authentication: add token")
        return self

    @model_validator(mode="after")
    def _forgets_processes_first(self) -> Settings:
        if self.series_days * 24 < self.process_hours:
            raise ValueError("series_days must be at least as long as process_hours")
        return self


class MetricsExporter:
    """Adds counters and histograms up over processes, and serves them with the current gauges.

    Args:
        settings: The exporter's section of the configuration.

    Attributes:
        address: Where it serves `/metrics`: (host, port).

    Raises:
        StoreError: The database cannot be opened.
        StartError: The address cannot be bound.
    """

    signals: ClassVar[frozenset[Signal]] = frozenset({"metrics"})
    Settings = Settings

    def __init__(self, settings: Settings) -> None:
        limits = Limits(
            series=settings.series,
            process_seconds=settings.process_hours * 3600,
            series_seconds=settings.series_days * 86400,
            zero_seconds=settings.zero_seconds,
        )
        try:
            settings.database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"cannot create the folder of {settings.database}: {error}") from error
        self._store = SeriesStore(settings.database, limits)
        self._current = CurrentValues(settings.series, settings.gauge_seconds)
        self._prune_at = 0.0
        self._warn_at = 0.0
        try:
            self._endpoint = MetricsEndpoint(settings.address, self._page, settings.token)
        except BaseException:
            self._store.close()
            raise
        self.address = self._endpoint.address
        _metrics.start_counters()
        _metrics.watch(self._store)
        self._endpoint.start()

    def export(self, batch: Batch) -> None:
        """Add a batch's points to the series; sums are on disk when this returns.

        Raises:
            Retry: The database cannot be written; it contains nothing of the batch.
        """
        if not isinstance(batch.request, ExportMetricsServiceRequest):
            return
        sums: list[Point] = []
        current: list[Point] = []
        dropped: dict[str, int] = {}
        for point in read_points(batch.request):
            if isinstance(point, Unusable):
                dropped[point.reason] = dropped.get(point.reason, 0) + 1
            elif point.family.kind in {"gauge", "updowncounter"}:
                current.append(point)
            else:
                sums.append(point)
        try:
            for reason, count in self._store.add(sums).items():
                dropped[reason] = dropped.get(reason, 0) + count
        except sqlite3.Error as error:
            raise Retry(f"cannot write the series: {error}") from error
        refused = self._current.add(current)
        if refused:
            dropped["limit"] = dropped.get("limit", 0) + refused
        self._report(dropped)
        self._prune()

    def shutdown(self) -> None:
        """Stop answering scrapes and close the database."""
        self._endpoint.stop()
        self._store.close()

    def _page(self, accept: str, scraper: bool) -> tuple[bytes, str]:  # noqa: FBT001  see `Page`
        return encode(self._store.snapshot(scraper=scraper), self._current.snapshot(), accept)

    def _report(self, dropped: Mapping[str, int]) -> None:
        for reason, count in dropped.items():
            _metrics.DROPPED.add(count, {"reason": reason})
        if dropped and monotonic() >= self._warn_at:
            self._warn_at = monotonic() + _WARN_SECONDS
            counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
            _log.warning("data points were dropped: %s; see assay.metrics.dropped in the README", counts)

    def _prune(self) -> None:
        if monotonic() >= self._prune_at:
            self._prune_at = monotonic() + _PRUNE_SECONDS
            try:
                self._store.prune()
            except sqlite3.Error as error:
                # The batch is accepted already; a later batch tries again.
                _log.warning("cannot remove old series: %s", error)
