"""The path of a built Collector depends on manifest, lock and cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from assay.cli._collector import cache
from assay.cli._collector.cache import cache_directory, cached_binary, pinned_version
from assay.cli._collector.files import distribution_directory


def test_our_variable_overrides_the_xdg_folder(monkeypatch):
    monkeypatch.setenv("ASSAY_CACHE_DIR", "/one")
    monkeypatch.setenv("XDG_CACHE_HOME", "/two")
    assert cache_directory() == Path("/one")
    monkeypatch.delenv("ASSAY_CACHE_DIR")
    assert cache_directory() == Path("/two/assay")


def test_a_relative_xdg_folder_is_ignored(monkeypatch):
    monkeypatch.delenv("ASSAY_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_directory() == Path.home() / ".cache" / "assay"


def test_another_lock_has_another_path(monkeypatch, tmp_path):
    before = cached_binary()
    changed = tmp_path / "distribution"
    shutil.copytree(distribution_directory(), changed)
    monkeypatch.setattr(cache, "distribution_directory", lambda: changed)
    assert cached_binary() == before
    with (changed / "go.sum").open("a") as file:
        file.write("example.com/x v1.0.0 h1:x=\n")
    assert cached_binary() != before
    assert pinned_version() in cached_binary().parent.name
