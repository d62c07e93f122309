"""Where the Collector's files are, and which of them make a deployable Collector together.

The files are data of this distribution (`assay/cli/_collector/config`); in a checkout they are
`collector-config/` itself, so that there is one copy to edit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from assay.cli._collector.errors import CollectorError

_INSTALLED = Path(__file__).with_name("config")
_CHECKOUT = Path(__file__).parents[5] / "collector-config"


def config_directory() -> Path:
    """The folder with `base.yaml` and its neighbours.

    Raises:
        CollectorError: The installation lacks them.
    """
    for folder in (_INSTALLED, _CHECKOUT):
        if (folder / "base.yaml").is_file():
            return folder
    raise CollectorError(
        f"the Collector's configurations are neither in {_INSTALLED} nor in {_CHECKOUT}: "
        "reinstall the `assay` distribution"
    )


def distribution_directory() -> Path:
    """The folder with the Builder's manifest and its lock."""
    return config_directory() / "distribution"


@dataclasses.dataclass(frozen=True)
class Composition:
    """Files that make one deployable Collector together, in the order in which they are merged.

    Attributes:
        name: How the command and the docs call it.
        files: File names within `config_directory()`.
        required: The variables that have no default, each with a value of the right form, to validate with.
    """

    name: str
    files: tuple[str, ...]
    required: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files as absolute paths."""
        return tuple(config_directory() / file for file in self.files)


_GATEWAY = {"ASSAY_COLLECTOR_GATEWAY_ENDPOINT": "gateway.example:4317"}
_BACKEND = {"ASSAY_COLLECTOR_BACKEND_ENDPOINT": "backend.example:4317"}
_TOKEN = {"ASSAY_AUDIT_TOKEN": "for-validation"}
_CERTIFICATE = {
    "ASSAY_COLLECTOR_AUDIT_CERTIFICATE": "/etc/assay/audit.crt",
    "ASSAY_COLLECTOR_AUDIT_KEY": "/etc/assay/audit.key",
}
_CLIENT_CA = {"ASSAY_COLLECTOR_AUDIT_CLIENT_CA": "/etc/assay/clients.crt"}
_NODE = {"K8S_NODE_NAME": "node-1"}

_ALL = (
    Composition("all-in-one", ("base.yaml", "gateway.yaml", "audit.yaml", "all-in-one.yaml"), _TOKEN),
    Composition("agent", ("base.yaml", "agent.yaml"), _GATEWAY),
    Composition("agent-kubernetes", ("base.yaml", "agent.yaml", "agent-kubernetes.yaml"), _GATEWAY | _NODE),
    Composition("gateway", ("base.yaml", "gateway.yaml")),
    Composition("gateway-backend", ("base.yaml", "gateway.yaml", "backend.yaml"), _BACKEND),
    Composition("audit", ("base.yaml", "audit.yaml"), _TOKEN | _CERTIFICATE),
    Composition("audit-mtls", ("base.yaml", "audit.yaml", "audit-mtls.yaml"), _CERTIFICATE | _CLIENT_CA),
)

COMPOSITIONS: Mapping[str, Composition] = {composition.name: composition for composition in _ALL}
"""Every composition that `assay collector validate` checks, by name."""
