"""Find a Collector in five sources, in the order in which they are tried."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Literal

from assay.cli._collector.binary import CollectorBinary, Source, accept, named_components
from assay.cli._collector.cache import cached_binary, pinned_version
from assay.cli._collector.errors import CollectorError, CollectorNotFoundError
from assay.cli._collector.files import COMPOSITIONS
from assay.cli._progress import ReportProgress

Mode = Literal["auto", "require", "none"]

SOURCES: tuple[Source, ...] = ("env", "cache", "path", "built", "container")
"""All sources, in order."""

PRESENT: tuple[Source, ...] = ("env", "cache", "path")
"""The sources that are fast, because the binary is already on this machine."""


def find_collector(
    mode: Mode = "require",
    *,
    sources: Sequence[Source] = SOURCES,
    report: ReportProgress = lambda _: None,
) -> CollectorBinary | None:
    """Find, or build, a Collector that can run every configuration of this distribution.

    Args:
        mode: If no source has a Collector, `require` raises, and `auto` reports the reasons and returns None.
            `none` returns None without a search.
        sources: The sources to try, in order.
        report: Called for each step of a build, and in mode `auto` with the reasons.

    Returns:
        The binary; None only in the modes `auto` and `none`.

    Raises:
        CollectorNotFoundError: In mode `require`, no source has a Collector; the message gives the reason for
            each.
        CollectorError: `ASSAY_COLLECTOR` is set, but not to a usable Collector. No other source is tried
            then, in any mode except `none`.
    """
    if mode == "none":
        return None
    needed = named_components(path for each in COMPOSITIONS.values() for path in each.paths)
    reasons: list[str] = []
    for source in sources:
        try:
            return _FINDERS[source](needed, report)
        except _UnavailableError as reason:  # noqa: PERF203  five iterations, one of which may take minutes
            reasons.append(f"  {len(reasons) + 1}. {reason}")
    message = "\n".join(["no OpenTelemetry Collector is available. The ways to get one:", *reasons])
    if mode == "require":
        raise CollectorNotFoundError(message)
    report(message)
    return None


class _UnavailableError(CollectorError):
    """A source does not have a Collector; the next one is tried."""


def _from_environment(needed: AbstractSet[str], _: ReportProgress) -> CollectorBinary:
    named = os.environ.get("ASSAY_COLLECTOR")
    if not named:
        raise _UnavailableError("ASSAY_COLLECTOR: set it to the path of a Collector (it is not set)")
    try:
        return accept(Path(named).expanduser().absolute(), "env", needed)
    except CollectorError as error:
        raise CollectorError(f"ASSAY_COLLECTOR={named}: {error}; correct it, or unset it") from error


def _from_cache(needed: AbstractSet[str], _: ReportProgress) -> CollectorBinary:
    path = cached_binary()
    if not path.is_file():
        raise _UnavailableError(f"the cache: run `assay collector build` ({path} does not exist)")
    try:
        return accept(path, "cache", needed)
    except CollectorError as error:
        raise _UnavailableError(f"the cache: delete it and run `assay collector build` ({error})") from error


def _from_path(needed: AbstractSet[str], _: ReportProgress) -> CollectorBinary:
    found = shutil.which("otelcol-contrib")
    if not found:
        raise _UnavailableError(
            f"PATH: install otelcol-contrib {pinned_version()}, "
            "https://github.com/open-telemetry/opentelemetry-collector-releases/releases (it is not on PATH)"
        )
    try:
        return accept(Path(found).absolute(), "path", needed)
    except CollectorError as error:
        raise _UnavailableError(f"PATH: install otelcol-contrib {pinned_version()} ({error})") from error


def _from_go(needed: AbstractSet[str], report: ReportProgress) -> CollectorBinary:
    # Imported here because fcntl, which a build needs, is missing on Windows.
    from assay.cli._collector.build import build_collector  # noqa: PLC0415

    go = shutil.which("go")
    if not go:
        raise _UnavailableError("a build: install Go, https://go.dev/dl (go is not on PATH)")
    try:
        return accept(build_collector(Path(go), report), "built", needed)
    except CollectorError as error:
        raise _UnavailableError(f"a build with {go}: {error}") from error


def _from_container(needed: AbstractSet[str], report: ReportProgress) -> CollectorBinary:
    from assay.cli._collector.container import copy_from_image  # noqa: PLC0415  the docker SDK is an extra

    try:
        return accept(copy_from_image(pinned_version(), report), "container", needed)
    except CollectorError as error:
        raise _UnavailableError(f"a container image: {error}") from error


_FINDERS: dict[Source, Callable[[AbstractSet[str], ReportProgress], CollectorBinary]] = {
    "env": _from_environment,
    "cache": _from_cache,
    "path": _from_path,
    "built": _from_go,
    "container": _from_container,
}
