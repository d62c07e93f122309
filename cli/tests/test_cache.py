"""The place of a built Collector: its own for each manifest, lock and cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from assay.cli._collector import cache
from assay.cli._collector.cache import cache_directory, cached_binary, pinned_version
from assay.cli._collector.files import distribution_directory


def test_own_folder_comes_before_the_desktop_one(monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE_DIR", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert cache_directory() == Path("/one")
    monkeypatch.delenv("ASSAY_CACHE_DIR")
    assert cache_directory() == Path("/two/assay")


def test_relative_desktop_folder_counts_as_not_set(monkeypatch):
    monkeypatch.delenv("ASSAY_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == Path.home() / ".cache" / "assay"


def test_another_lock_is_another_binary(monkeypatch, tmp_path):
    before = cached_binary()
    changed = tmp_path / "distribution"
    shutil.copytree(distribution_directory(), changed)
    monkeypatch.setattr(cache, "distribution_directory", lambda: changed)
    assert cached_binary() == before
    with (changed / "go.sum").open("a") as file:
        file.write("example.com/x v1.0.0 h1:x=\n")
    assert cached_binary() != before
    assert pinned_version() in cached_binary().parent.name
