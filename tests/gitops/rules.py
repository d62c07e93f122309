"""The alerts and objectives that the registry states for ALUMIINI, and rules of Prometheus for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

REGISTRY = Path(__file__).parents[2] / "semconv" / "registry" / "alumiini.yaml"
HOLDS = "2s"
"""How long a condition holds before its alert fires in the run of the example, instead of minutes."""
EVALUATED = "Evaluated"
"""An alert of the tests, which fires as long as Prometheus counts so many syncs as its label says."""


def _annotations() -> dict[str, Any]:
    groups = yaml.safe_load(REGISTRY.read_text("utf-8"))["attribute_groups"]
    (found,) = (group["annotations"]["assay"] for group in groups if group["id"] == "alumiini")
    return found


ALERTS: dict[str, dict[str, Any]] = {each["name"]: each for each in _annotations()["alerts"]}
OBJECTIVES: dict[str, str] = {each["sli"]: each["expr"] for each in _annotations()["slos"]}


def rules(holds: str | None = None) -> list[dict[str, Any]]:
    """Return the alerts as rules of Prometheus.

    Args:
        holds: How long a condition holds before its alert fires, such as `2s`; None: as the registry says.
    """
    return [
        {"alert": name, "expr": each["expr"], "for": holds or each["for"]} for name, each in ALERTS.items()
    ]


def evaluated(syncs: int) -> dict[str, Any]:
    """Return the rule of an alert that shows that all rules were evaluated after so many syncs."""
    return {
        "alert": EVALUATED,
        "expr": f"sum(alumiini_syncs_total) == {syncs}",
        "for": HOLDS,
        "labels": {"syncs": str(syncs)},
    }


def write_rules(path: Path, rules: list[dict[str, Any]]) -> Path:
    """Write rules to a file of Prometheus, in one group: they are evaluated at the same time, in order."""
    path.write_text(yaml.safe_dump({"groups": [{"name": "alumiini", "rules": rules}]}), "utf-8")
    return path
