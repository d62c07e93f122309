"""Programs that imitate a Collector, and an environment without Collector, Go and Docker."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import yaml

from assay.cli._collector.binary import named_components
from assay.cli._collector.files import COMPOSITIONS

NEEDED = named_components(path for each in COMPOSITIONS.values() for path in each.paths)


@pytest.fixture
def needed() -> frozenset[str]:
    return NEEDED


@pytest.fixture
def bare(monkeypatch, tmp_path) -> Path:
    """Set up an environment without Collector and Go and with an empty cache; return the folder on PATH."""
    for name in ("ASSAY_COLLECTOR", "ASSAY_AUDIT_TOKEN", "ASSAY_DEBUG", "DOCKER_HOST"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("ASSAY_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")
    return folder


@pytest.fixture
def program() -> Callable[..., Path]:
    """Return a function that writes a program with the `components` output of a Collector."""

    def write(path: Path, components: Iterable[str] = NEEDED, version: str = "0.152.0") -> Path:
        answer: dict[str, object] = {"buildinfo": {"version": version}}
        for component in components:
            kind, _, name = component.partition("/")
            answer.setdefault(kind, []).append({"name": name})  # type: ignore[attr-defined]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(answer)
        path.write_text(f"#!/bin/sh\nwhile IFS= read -r line; do echo \"$line\"; done <<'END'\n{text}END\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture
def environment() -> dict[str, str]:
    """Return the environment for a command that a test starts: plain output."""
    return {**os.environ, "NO_COLOR": "1"}
