"""How much each series has increased: by a Prometheus if one is installed, else between two scrapes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from typing import Protocol

from assay.cli._demo.arrivals import Series, read_series, scrape
from assay.cli._demo.prometheus import Prometheus, find_prometheus
from assay.cli._folder import Folder

_CUMULATIVE = ("_total", "_count")
_PARTS = (*_CUMULATIVE, "_sum", "_bucket")


class IncreaseReader(Protocol):
    """Reads the series with their increases.

    Attributes:
        source: Who computes the increases, for the report.
    """

    source: str

    def read(self, prefixes: tuple[str, ...]) -> Series:
        """Return the increase of each series whose name starts with one of `prefixes`.

        The families are those of all reads: a gauge disappears some time after its process has ended.

        Raises:
            OSError: The series cannot be read.
        """
        ...


class PrometheusReader:
    """Asks a Prometheus for `increase()`.

    Args:
        prometheus: It is running.
        page: URL that it scrapes; the families are read there.
    """

    source = "increase() in Prometheus"

    def __init__(self, prometheus: Prometheus, page: str) -> None:
        self._prometheus = prometheus
        self._page = page
        self._families: set[str] = set()

    def read(self, prefixes: tuple[str, ...]) -> Series:
        """Return the increase of each series whose name starts with one of `prefixes`."""
        names = [name for name in self._prometheus.names() if name.startswith(prefixes)]
        samples = {name: self._prometheus.increases(name) for name in names if name.endswith(_CUMULATIVE)}
        self._families.update(read_series(scrape(self._page), prefixes).families)
        # Prometheus has scraped each gauge that was on the page, even if it is there no more.
        self._families.update(name for name in names if not name.endswith(_PARTS))
        return Series(sorted(self._families), samples)


class ScrapeReader:
    """Scrapes as Prometheus does, and subtracts the first value of each series from its last one.

    Args:
        page: URL to scrape.
    """

    source = "the increase between two scrapes"

    def __init__(self, page: str) -> None:
        self._page = page
        self._first: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        self._families: set[str] = set()

    def read(self, prefixes: tuple[str, ...]) -> Series:
        """Return the increase of each series whose name starts with one of `prefixes`."""
        now = read_series(scrape(self._page, as_prometheus=True), prefixes)
        samples = {
            name: [(labels, value - self._first_value(name, labels, value)) for labels, value in found]
            for name, found in now.samples.items()
            if name.endswith(_CUMULATIVE)
        }
        self._families.update(now.families)
        return Series(sorted(self._families), samples)

    def _first_value(self, name: str, labels: Mapping[str, str], value: float) -> float:
        return self._first.setdefault((name, tuple(sorted(labels.items()))), value)


@contextlib.contextmanager
def increase_reader(folder: Folder, target: str, page: str) -> Generator[IncreaseReader]:
    """Start a Prometheus if one is installed, and yield what reads the increases.

    Args:
        folder: Folder of the demo's files.
        target: `host:port` of the metrics exporter.
        page: URL of its page.

    Raises:
        DemoError: Prometheus did not start.
    """
    binary = find_prometheus()
    if binary is None:
        yield ScrapeReader(page)
        return
    with Prometheus(binary, folder.prometheus, target) as prometheus:
        yield PrometheusReader(prometheus, page)
