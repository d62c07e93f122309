"""A Prometheus as a child process, and its `increase()`."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from assay.cli._demo.errors import DemoError
from assay.cli._free_ports import free_address
from assay.cli._loopback import answers, fetch

START_SECONDS = 30
STOP_SECONDS = 10
QUERY_SECONDS = 30
WINDOW = "1d"
"""Longer than any run of this Prometheus, so that `increase()` starts at the first sample of each series."""


class Prometheus:
    """A Prometheus that scrapes one address every second; a context manager starts and stops it.

    Args:
        binary: The program.
        folder: Folder of its configuration, data and log; it may exist already.
        target: `host:port` to scrape.
        rules: File of rules, which are evaluated every second.

    Attributes:
        url: Where it answers queries.
    """

    def __init__(self, binary: Path, folder: Path, target: str, rules: Path | None = None) -> None:
        self._binary = binary
        self._folder = folder
        self._target = target
        self._rules = rules
        self._process: subprocess.Popen[bytes] | None = None
        with contextlib.ExitStack() as reserved:
            self._address = free_address(reserved)
        self.url = f"http://{self._address}"

    def __enter__(self) -> Prometheus:  # noqa: PYI034  typing has Self from 3.11
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        job = {
            "job_name": "assay",
            "honor_labels": True,
            "static_configs": [{"targets": [self._target]}],
        }
        settings = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
        rules = [] if self._rules is None else [str(self._rules)]
        whole = {"global": settings, "rule_files": rules, "scrape_configs": [job]}
        config.write_text(yaml.safe_dump(whole), encoding="utf-8")
        log = self._folder / "prometheus.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [
                    str(self._binary),
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address={self._address}",
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not answers(f"{self.url}/-/ready"):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise DemoError(f"Prometheus did not start: see {log}")
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def increases(self, name: str) -> list[tuple[Mapping[str, str], float]]:
        """Return the labels of each series of a name, and its `increase()` since its first sample.

        The list is empty if the last scrape failed.

        Raises:
            OSError: Prometheus cannot be reached, or rejects the query.
        """
        at = self.last_scrape()
        return list(self.query(f"increase({name}[{WINDOW}])", at=at)) if at else []

    def names(self) -> list[str]:
        """Return the names of all scraped series.

        Raises:
            OSError: Prometheus cannot be reached.
        """
        return self._get("label/__name__/values", {})

    def query(self, expression: str, *, at: str = "") -> Iterator[tuple[dict[str, str], float]]:
        """Yield the labels and the value of each series of an expression's result.

        Args:
            expression: In PromQL; its result is a vector.
            at: Unix time in seconds; now if empty.

        Raises:
            OSError: Prometheus cannot be reached, or rejects the query.
        """
        parameters = {"query": expression, **({"time": at} if at else {})}
        for series in self._get("query", parameters)["result"]:
            yield series["metric"], float(series["value"][1])

    def last_scrape(self) -> str:
        """Return the time of the last scrape in Unix seconds; empty if it failed, or before the first one.

        `increase()` extrapolates to the time of the query. At the time of the last sample it is exact.

        Raises:
            OSError: Prometheus cannot be reached.
        """
        # timestamp() of an expression other than a series returns the time of the query.
        succeeded = 'timestamp(up{job="assay"}) and (up{job="assay"} == 1)'
        result = self._get("query", {"query": succeeded})["result"]
        return result[0]["value"][1] if result else ""

    def _get(self, path: str, parameters: Mapping[str, str]) -> Any:  # noqa: ANN401  any JSON value
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        return json.loads(fetch(url, timeout=QUERY_SECONDS))["data"]

    def _stop(self) -> None:
        assert self._process is not None  # noqa: S101  the block was entered
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def find_prometheus() -> Path | None:
    """Return the program on PATH, or None."""
    found = shutil.which("prometheus")
    return Path(found) if found else None
