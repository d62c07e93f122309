"""Where a built Collector is kept, so that it is built once for each manifest and lock."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import yaml

from assay.cli._collector.files import distribution_directory

LOCKED_FILES = ("builder.yaml", "go.mod", "go.sum")
"""What decides the binary: the Builder's manifest, and the lock that its sources are compiled with."""


def cache_directory() -> Path:
    """`ASSAY_CACHE_DIR`, else `assay` under `XDG_CACHE_HOME`, else under `~/.cache`."""
    if own := os.environ.get("ASSAY_CACHE_DIR"):
        return Path(own)
    # The XDG base directory specification: a path that is not absolute counts as not set.
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".cache") / "assay"


def pinned_version() -> str:
    """The version of the Collector, its components and its Builder, without `v`."""
    manifest = yaml.safe_load((distribution_directory() / "builder.yaml").read_text(encoding="utf-8"))
    return str(manifest["dist"]["version"])


def cached_binary() -> Path:
    """Where the binary of the present manifest and lock is, or would be.

    The name has the hash of both and the platform: a changed pin is another binary, and a home directory that
    two machines share holds one for each.
    """
    digest = hashlib.sha256()
    for name in LOCKED_FILES:
        content = (distribution_directory() / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    target = f"{platform.system().lower()}-{platform.machine().lower()}"
    name = f"{pinned_version()}-{digest.hexdigest()[:16]}-{target}"
    return cache_directory() / "collector" / name / "otelcol-assay"
