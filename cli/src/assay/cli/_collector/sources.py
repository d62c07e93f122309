"""The five places that a Collector can come from, in the order in which they are tried."""

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

Mode = Literal["auto", "require", "none"]
Report = Callable[[str], None]

SOURCES: tuple[Source, ...] = ("env", "cache", "path", "built", "container")
"""Every source, in order."""

PRESENT: tuple[Source, ...] = ("env", "cache", "path")
"""The sources that take no time: what is on this machine already."""


def find_collector(
    mode: Mode = "require",
    *,
    sources: Sequence[Source] = SOURCES,
    report: Report = lambda _: None,
) -> CollectorBinary | None:
    """Finds, else makes, a Collector that can run every configuration of this distribution.

    Args:
        mode: `require` raises when there is none; `auto` reports why and gives None; `none` does not look.
        sources: Which to try, in order.
        report: Is told, a line each, what is being done: before the minutes that a build takes, and during.

    Returns:
        The binary. None only with `auto` and `none`.

    Raises:
        CollectorNotFoundError: With `require`, when no source gave one; says what each of them lacked.
        CollectorError: `ASSAY_COLLECTOR` is set and is no Collector that will do, in any mode but `none`: who
            names one wants no other.
    """
    if mode == "none":
        return None
    needed = named_components(path for each in COMPOSITIONS.values() for path in each.paths)
    reasons: list[str] = []
    for source in sources:
        try:
            return _FINDERS[source](needed, report)
        except _NotHereError as reason:  # noqa: PERF203  five rounds, one of which may take minutes
            reasons.append(f"  {len(reasons) + 1}. {reason}")
    message = "\n".join(["no OpenTelemetry Collector could be had. The ways to get one:", *reasons])
    if mode == "require":
        raise CollectorNotFoundError(message)
    report(message)
    return None


class _NotHereError(CollectorError):
    """One source has none; the next is tried."""


def _from_environment(needed: AbstractSet[str], _: Report) -> CollectorBinary:
    named = os.environ.get("ASSAY_COLLECTOR")
    if not named:
        raise _NotHereError("ASSAY_COLLECTOR: set it to the path of a Collector (it is not set)")
    try:
        return accept(Path(named).expanduser().absolute(), "env", needed)
    except CollectorError as error:
        raise CollectorError(f"ASSAY_COLLECTOR={named}: {error}; mend it, or unset it") from error


def _from_cache(needed: AbstractSet[str], _: Report) -> CollectorBinary:
    path = cached_binary()
    if not path.is_file():
        raise _NotHereError(f"the cache: `assay collector build` puts one there ({path} is not there)")
    try:
        return accept(path, "cache", needed)
    except CollectorError as error:
        raise _NotHereError(f"the cache: delete it and run `assay collector build` ({error})") from error


def _from_path(needed: AbstractSet[str], _: Report) -> CollectorBinary:
    found = shutil.which("otelcol-contrib")
    if not found:
        raise _NotHereError(
            f"PATH: install otelcol-contrib {pinned_version()}, "
            "https://github.com/open-telemetry/opentelemetry-collector-releases/releases (it is not on PATH)"
        )
    try:
        return accept(Path(found).absolute(), "path", needed)
    except CollectorError as error:
        raise _NotHereError(f"PATH: install otelcol-contrib {pinned_version()} ({error})") from error


def _from_go(needed: AbstractSet[str], report: Report) -> CollectorBinary:
    # A build needs fcntl and minutes; who does not build imports neither.
    from assay.cli._collector.build import build_collector  # noqa: PLC0415

    go = shutil.which("go")
    if not go:
        raise _NotHereError("a build: install Go, https://go.dev/dl (go is not on PATH)")
    try:
        return accept(build_collector(Path(go), report), "built", needed)
    except CollectorError as error:
        raise _NotHereError(f"a build with {go}: {error}") from error


def _from_container(needed: AbstractSet[str], report: Report) -> CollectorBinary:
    from assay.cli._collector.container import copy_from_image  # noqa: PLC0415  the docker SDK is an extra

    try:
        return accept(copy_from_image(pinned_version(), report), "container", needed)
    except CollectorError as error:
        raise _NotHereError(f"a container image: {error}") from error


_FINDERS: dict[Source, Callable[[AbstractSet[str], Report], CollectorBinary]] = {
    "env": _from_environment,
    "cache": _from_cache,
    "path": _from_path,
    "built": _from_go,
    "container": _from_container,
}
