"""Measure what a short process pays for `opentelemetry-instrument`, with Assay and with the upstream set.

Two figures. The first is the processor time that Assay adds to the upstream set for an empty program, without
a server to send to: import, configuration, instrumentation and exit. The second is 19 short jobs, each a
process that clones a repository with GitPython, logs a line and sends its telemetry to a server on this
machine: beside the same jobs bare, and beside the same with the upstream set.

The upstream set is upstream's configurator with the OTLP/HTTP exporter and the logging instrumentation, as
`opentelemetry-distro[otlp]` configures them; entry points in a temporary folder on PYTHONPATH add it. The
modes alternate, so that other load on the machine affects all. Modules are compiled before, as pip leaves
them.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import entry_points
from pathlib import Path
from threading import Thread

from benchmarks.row import Row

BOUND = 0.100
"""Highest permitted additional processor time of a process (s)."""
JOBS = 19
MODES = ("bare", "upstream_set", "assay")

_UPSTREAM = """
import os
from opentelemetry.instrumentation.auto_instrumentation import _load
from opentelemetry.instrumentation.distro import BaseDistro
from opentelemetry.sdk._configuration import _OTelSDKConfigurator


class Distro(BaseDistro):
    def _configure(self, **kwargs):
        for signal in ("TRACES", "METRICS", "LOGS"):
            os.environ.setdefault(f"OTEL_{signal}_EXPORTER", "otlp")
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
        # An entry point of Assay's packages, which an environment of the upstream set would not have.
        every = _load.entry_points
        _load.entry_points = lambda **wanted: (
            () if wanted.get("group") == "opentelemetry_post_instrument" else every(**wanted)
        )


class Configurator(_OTelSDKConfigurator):
    pass
"""
_ENTRY_POINTS = """
[opentelemetry_distro]
upstream_set = upstream_set:Distro

[opentelemetry_configurator]
upstream_set = upstream_set:Configurator
"""
_JOB = """
import logging, sys
from git import Repo

Repo.clone_from(sys.argv[1], sys.argv[2])
logging.getLogger("job").warning("cloned %s", sys.argv[1])
"""


def run(rounds: int = 5) -> list[Row]:
    """Measure empty programs and short jobs.

    Args:
        rounds: Number of counted processes of each mode, and of counted sets of jobs.
    """
    with tempfile.TemporaryDirectory() as folder:
        _install_upstream(Path(folder))
        return [_empty_program(folder, rounds), *_short_jobs(Path(folder), rounds)]


def _empty_program(folder: str, rounds: int) -> Row:
    def start(mode: str) -> float:
        return _processor_time(mode, ["-c", "pass"], _environment(folder, mode, "http://127.0.0.1:1"))

    times = _alternate(("upstream_set", "assay"), start, rounds)
    pairs = zip(times["assay"], times["upstream_set"], strict=True)
    added = statistics.median(ours - theirs for ours, theirs in pairs)
    note = (
        f"additional seconds of processor time to the upstream set ({_median(times, 'upstream_set'):.3f} s), "
        "program: pass"
    )
    return Row("start-up", added, BOUND, "at most", rounds, note)


def _short_jobs(folder: Path, rounds: int) -> list[Row]:
    origin, job = folder / "origin", folder / "job.py"
    job.write_text(_JOB)
    _create_repository(origin)
    with _server() as endpoint:

        def run_jobs(mode: str) -> float:
            environment = _environment(str(folder), mode, endpoint)
            total = 0.0
            for _ in range(JOBS):
                with tempfile.TemporaryDirectory(dir=folder) as clone:
                    total += _processor_time(mode, [str(job), str(origin), clone], environment)
            return total

        times = _alternate(MODES, run_jobs, rounds)
    medians = ", ".join(f"{mode} {_median(times, mode):.2f} s" for mode in MODES)
    return [
        Row(
            f"{JOBS} short jobs beside {floor}",
            statistics.median(a / b for a, b in zip(times["assay"], times[mode], strict=True)),
            bound,
            "at most",
            rounds,
            f"processor time: {medians}",
        )
        for mode, floor, bound in (
            ("bare", "bare ones", None),
            ("upstream_set", "the upstream set", round(1 + JOBS * BOUND / _median(times, "upstream_set"), 3)),
        )
    ]


def _alternate(
    modes: tuple[str, ...], measure: Callable[[str], float], rounds: int
) -> dict[str, list[float]]:
    """Return the figures of each mode; an uncounted round before fills the caches of compiled modules."""
    times: dict[str, list[float]] = {mode: [] for mode in modes}
    for number in range(rounds + 1):
        for mode in modes:
            seconds = measure(mode)
            if number:
                times[mode].append(seconds)
    return times


def _median(times: Mapping[str, list[float]], mode: str) -> float:
    return statistics.median(times[mode])


def _processor_time(mode: str, arguments: list[str], environment: Mapping[str, str]) -> float:
    """Run a process and return the processor time of it and of its children, in seconds."""
    launcher = [] if mode == "bare" else [str(Path(sys.executable).with_name("opentelemetry-instrument"))]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [*launcher, sys.executable, *arguments]
    subprocess.run(command, env=dict(environment), stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _install_upstream(folder: Path) -> None:
    (folder / "upstream_set.py").write_text(_UPSTREAM)
    metadata = folder / "upstream_set-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: upstream-set\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(_ENTRY_POINTS)


def _create_repository(folder: Path) -> None:
    folder.mkdir()
    (folder / "app.yaml").write_text("replicas: 1\n")
    author = ("-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.invalid")
    for command in (("init", "-q"), ("add", "."), (*author, "commit", "-q", "-m", "first")):
        subprocess.run(["git", *command], cwd=folder, check=True)  # noqa: S607 - the one on PATH


def _environment(folder: str, mode: str, endpoint: str) -> Mapping[str, str]:
    dropped = ("OTEL_", "ASSAY_", "PYTHONDONTWRITEBYTECODE")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(dropped)}
    common = {**kept, "PYTHONPYCACHEPREFIX": f"{folder}/compiled"}
    if mode == "bare":
        return common
    return {
        **common,
        "PYTHONPATH": folder,
        "OTEL_PYTHON_DISTRO": mode,
        "OTEL_PYTHON_CONFIGURATOR": mode,
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": ",".join(_disabled(mode)),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "ASSAY_AUDIT_ENDPOINT": f"{endpoint}/v1/audit",
        "ASSAY_AUDIT_QUEUE_DIRECTORY": f"{folder}/audit-queue",
    }


def _disabled(mode: str) -> list[str]:
    """Return the instrumentations that a set does not contain: Assay's are those of its subsystems."""
    sets = {"upstream_set": ("logging",), "assay": ("logging", "flowstone", "alumiini", "snakepit")}
    entries = entry_points(group="opentelemetry_instrumentor")
    return [entry.name for entry in entries if entry.name.partition("_")[0] not in sets[mode]]


@contextmanager
def _server() -> Generator[str]:
    """Accept OTLP over HTTP and discard it; yield the endpoint."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepting)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Accepting(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Log nothing."""
