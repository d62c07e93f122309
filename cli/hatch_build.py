# ruff: noqa: INP001  a build script is not in a package
"""Add `collector-config/` and the demo's example to the wheel, where the installed command reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_TARGETS = {
    "collector-config": "assay/cli/_collector/config",
    "examples/gitops": "assay/cli/_demo/workload/examples/gitops",
}


class DataHook(BuildHookInterface):
    """Add the folders from a checkout; a source distribution already has them in their places."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folders to the wheel or source distribution; an editable install reads the checkout."""
        for folder, target in _TARGETS.items():
            checkout = Path(self.root).parent / folder
            if version != "editable" and checkout.is_dir():
                place = f"src/{target}" if self.target_name == "sdist" else target
                build_data["force_include"][str(checkout)] = place
