# ruff: noqa: INP001  a build script is no package
"""Puts `collector-config/` into the wheel, which is where the installed command finds it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TARGET = "assay/cli/_collector/config"


class CollectorConfigHook(BuildHookInterface):
    """Takes the folder from the checkout; a source distribution has it in its place already."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Adds the folder to what is built; an editable install reads the checkout's."""
        checkout = Path(self.root).parent / "collector-config"
        if version != "editable" and checkout.is_dir():
            place = f"src/{_TARGET}" if self.target_name == "sdist" else _TARGET
            build_data["force_include"][str(checkout)] = place
