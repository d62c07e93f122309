"""Build the Collector with Go, from the manifest and its lock, once.

The Builder writes the sources. The committed `go.mod` and `go.sum` replace the Builder's, and `-mod=readonly`
compiles exactly the locked versions. (The Builder's own `go mod tidy` would also need every component's test
dependencies.)
"""

from __future__ import annotations

import collections
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from assay.cli._collector.cache import LOCKED_FILES, cached_binary, pinned_version
from assay.cli._collector.errors import CollectorBuildError
from assay.cli._collector.files import distribution_directory
from assay.cli._progress import ReportProgress

_BUILDER = "go.opentelemetry.io/collector/cmd/builder"
_REPORT_SECONDS = 5
_LINES_KEPT = 20


def build_collector(go: Path, report: ReportProgress) -> Path:
    """Build the Collector into the cache, unless the cache already has it, and return its path.

    Concurrent builds are serialized: the second one waits and uses the first one's binary. The binary appears
    in the cache complete or not at all.

    Args:
        go: The Go command.
        report: Called for each step; the first call says that a build takes minutes.

    Raises:
        CollectorBuildError: A step failed; the message ends with the step's output.
    """
    binary = cached_binary()
    try:
        binary.parent.mkdir(parents=True, exist_ok=True)
        with _exclusive(binary.with_name("lock"), report):
            if not binary.is_file():
                _build(go, binary, report)
    except OSError as error:
        raise CollectorBuildError(
            f"{binary.parent} cannot be written: {error}; set ASSAY_CACHE_DIR"
        ) from error
    return binary


def _build(go: Path, binary: Path, report: ReportProgress) -> None:
    version = pinned_version()
    report(f"building the OpenTelemetry Collector {version} into {binary}: this takes minutes, once")
    # In the target's folder, because a rename is atomic only within one file system.
    with tempfile.TemporaryDirectory(prefix="build-", dir=binary.parent) as name:
        folder = Path(name)
        report("1/4 installing the OpenTelemetry Collector Builder")
        _run(go, ["install", f"{_BUILDER}@v{version}"], folder, GOBIN=str(folder))
        report("2/4 writing the sources")
        for file in LOCKED_FILES:
            shutil.copy(distribution_directory() / file, folder / file)
        flags = ["--config=builder.yaml", "--skip-compilation", "--skip-get-modules"]
        _run(folder / "builder", flags, folder)
        sources = folder / "out"
        for file in ("go.mod", "go.sum"):
            shutil.copy(folder / file, sources / file)
        report("3/4 fetching the modules")
        packages = _run(go, ["list", "-mod=readonly", "-deps", "."], sources)
        _compile(go, sources, len(packages), report)
        (sources / binary.name).replace(binary)
    report(f"built {binary}")


def _compile(go: Path, sources: Path, packages: int, report: ReportProgress) -> None:
    report(f"4/4 compiling {packages} packages")
    compiled, reported = 0, time.monotonic()

    def count(_: str) -> None:
        nonlocal compiled, reported
        compiled += 1
        if time.monotonic() - reported >= _REPORT_SECONDS:
            reported = time.monotonic()
            report(f"4/4 compiled {compiled} of {packages} packages")

    flags = ["-v", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o=otelcol-assay"]
    _run(go, ["build", *flags, "."], sources, count, CGO_ENABLED="0")


def _run(
    program: Path,
    arguments: list[str],
    folder: Path,
    each_line: Callable[[str], None] = lambda _: None,
    **environment: str,
) -> list[str]:
    """Run one step, call `each_line` with each line that it prints, and return all lines."""
    # The user's Go settings (a vendor folder, a workspace) are for the user's own projects.
    variables = {**os.environ, "GOFLAGS": "", "GOWORK": "off", **environment}
    lines: list[str] = []
    with subprocess.Popen(
        [str(program), *arguments],
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        if process.stdout is not None:
            for line in process.stdout:
                lines.append(line.rstrip())
                each_line(line)
    if process.returncode:
        output = "\n".join(collections.deque(lines, _LINES_KEPT))
        raise CollectorBuildError(f"`{program.name} {arguments[0]}` failed ({process.returncode}):\n{output}")
    return lines


@contextlib.contextmanager
def _exclusive(path: Path, report: ReportProgress) -> Generator[None, None, None]:
    """Hold an exclusive lock on a file; the kernel releases it when the process exits."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another build of the same Collector")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
