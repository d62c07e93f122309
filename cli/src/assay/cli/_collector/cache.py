"""The cache of built Collectors: one for each manifest and lock."""

from __future__ import annotations

import hashlib
import os
import platform
from pathlib import Path

import yaml

from assay.cli._collector.files import distribution_directory

LOCKED_FILES = ("builder.yaml", "go.mod", "go.sum")
"""The files that determine the binary: the Builder's manifest and the lock of its sources."""


def cache_directory() -> Path:
    """Return `ASSAY_CACHE_DIR`, else `assay` under `XDG_CACHE_HOME`, else under `~/.cache`."""
    if own := os.environ.get("ASSAY_CACHE_DIR"):
        return Path(own)
    # XDG base directory specification: a relative path is ignored.
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(xdg) if xdg.startswith("/") else Path.home() / ".cache") / "assay"


def pinned_version() -> str:
    """Return the version of the Collector, its components and its Builder, without `v`."""
    manifest = yaml.safe_load((distribution_directory() / "builder.yaml").read_text(encoding="utf-8"))
    return str(manifest["dist"]["version"])


def cached_binary() -> Path:
    """Return the path of the binary of the present manifest and lock, whether it exists or not.

    The path contains the hash of both files and the platform: a changed pin is another binary, and machines
    of different platforms can share a home directory.
    """
    digest = hashlib.sha256()
    for name in LOCKED_FILES:
        content = (distribution_directory() / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    target = f"{platform.system().lower()}-{platform.machine().lower()}"
    name = f"{pinned_version()}-{digest.hexdigest()[:16]}-{target}"
    return cache_directory() / "collector" / name / "otelcol-assay"
