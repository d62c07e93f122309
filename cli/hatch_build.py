# ruff: noqa: INP001  a build script is not in a package
"""Add `collector-config/` to the wheel, where the installed command reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TARGET = "assay/cli/_collector/config"


class CollectorConfigHook(BuildHookInterface):
    """Add the folder from a checkout; a source distribution already has it in its place."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to the wheel or source distribution; an editable install reads the checkout."""
        checkout = Path(self.root).parent / "collector-config"
        if version != "editable" and checkout.is_dir():
            place = f"src/{_TARGET}" if self.target_name == "sdist" else _TARGET
            build_data["force_include"][str(checkout)] = place
