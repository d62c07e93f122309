"""Measure the start-up time that Assay adds to `opentelemetry-instrument` with the upstream set.

Both run the same interpreter on an empty program without a server to send to, so the time is that of import,
configuration, instrumentation and exit. The upstream set is upstream's configurator with the OTLP/HTTP
exporter and the logging instrumentation, as `opentelemetry-distro[otlp]` configures them; entry points in a
temporary folder on PYTHONPATH add it. The two alternate, so that other load on the machine affects both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter

from benchmarks.row import Row

BOUND = 0.100
"""Highest permitted additional time (s)."""

_UPSTREAM = """
import os
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk._configuration import _OTelSDKConfigurator


class Distro(BaseDistro):
    def _configure(self, **kwargs):
        for signal in ("TRACES", "METRICS", "LOGS"):
            os.environ.setdefault(f"OTEL_{signal}_EXPORTER", "otlp")
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")


class Configurator(_OTelSDKConfigurator):
    pass
"""
_ENTRY_POINTS = """
[opentelemetry_distro]
upstream_set = upstream_set:Distro

[opentelemetry_configurator]
upstream_set = upstream_set:Configurator
"""


def run(rounds: int = 5) -> list[Row]:
    """Measure start-up times; return one row."""
    with tempfile.TemporaryDirectory() as folder:
        _install_upstream(Path(folder))
        ours, theirs = _environment(folder, "assay"), _environment(folder, "upstream_set")
        _start(ours)  # fill the caches of compiled modules
        _start(theirs)
        pairs = [(_start(ours), _start(theirs)) for _ in range(rounds)]
    added = statistics.median(our - their for our, their in pairs)
    floor = statistics.median(their for _, their in pairs)
    note = (
        f"additional seconds to opentelemetry-instrument with the upstream set ({floor:.3f} s), program: pass"
    )
    return [Row("start-up", added, BOUND, "at most", rounds, note)]


def _install_upstream(folder: Path) -> None:
    (folder / "upstream_set.py").write_text(_UPSTREAM)
    metadata = folder / "upstream_set-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: upstream-set\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)


def _environment(folder: str, name: str) -> Mapping[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "ASSAY_"))}
    disabled = "" if name == "assay" else ",".join(_own_instrumentations())
    return {
        **kept,
        "PYTHONPATH": folder,
        "OTEL_PYTHON_DISTRO": name,
        "OTEL_PYTHON_CONFIGURATOR": name,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
    }


def _own_instrumentations() -> list[str]:
    """Return the names of our instrumentations, which the upstream set does not contain."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - only this function needs it

    return [
        entry.name
        for entry in entry_points(group="opentelemetry_instrumentor")
        if entry.value.startswith("opentelemetry.instrumentation.flowstone")
    ]


def _start(environment: Mapping[str, str]) -> float:
    program = Path(sys.executable).with_name("opentelemetry-instrument")
    before = perf_counter()
    command = [str(program), sys.executable, "-c", "pass"]
    subprocess.run(command, env=dict(environment), stderr=subprocess.DEVNULL, check=True)
    return perf_counter() - before
