"""The Collector's configuration files, and the compositions of them that can be deployed.

The files are data of this distribution (`assay/cli/_collector/config`). A checkout reads `collector-config/`
instead, so that there is one copy to edit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from assay.cli._collector.errors import CollectorError

_INSTALLED = Path(__file__).with_name("config")
_CHECKOUT = Path(__file__).parents[5] / "collector-config"


def config_directory() -> Path:
    """Return the folder of `base.yaml` and the other configuration files.

    Raises:
        CollectorError: The installation lacks the folder.
    """
    for folder in (_INSTALLED, _CHECKOUT):
        if (folder / "base.yaml").is_file():
            return folder
    raise CollectorError(
        f"the Collector's configurations are neither in {_INSTALLED} nor in {_CHECKOUT}: "
        "reinstall the `assay` distribution"
    )


def distribution_directory() -> Path:
    """Return the folder of the Builder's manifest and its lock."""
    return config_directory() / "distribution"


@dataclasses.dataclass(frozen=True)
class Composition:
    """The configuration files of one deployable Collector, in the order in which they are merged.

    Attributes:
        name: Its name in the command and in the documentation.
        files: File names within `config_directory()`.
        required: The variables without a default, each with an example value for validation.
    """

    name: str
    files: tuple[str, ...]
    required: Mapping[str, str] = dataclasses.field(default_factory=dict[str, str])

    @property
    def paths(self) -> tuple[Path, ...]:
        """Absolute paths of the files."""
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
    Composition(
        "all-in-one", ("base.yaml", "redaction.yaml", "gateway.yaml", "audit.yaml", "all-in-one.yaml"), _TOKEN
    ),
    Composition("agent", ("base.yaml", "agent.yaml"), _GATEWAY),
    Composition("agent-kubernetes", ("base.yaml", "agent.yaml", "agent-kubernetes.yaml"), _GATEWAY | _NODE),
    Composition("gateway", ("base.yaml", "redaction.yaml", "gateway.yaml")),
    Composition("gateway-per-process", ("base.yaml", "redaction.yaml", "gateway.yaml", "per-process.yaml")),
    Composition("gateway-backend", ("base.yaml", "redaction.yaml", "gateway.yaml", "backend.yaml"), _BACKEND),
    Composition("audit", ("base.yaml", "audit.yaml"), _TOKEN | _CERTIFICATE),
    Composition("audit-mtls", ("base.yaml", "audit.yaml", "audit-mtls.yaml"), _CERTIFICATE | _CLIENT_CA),
)

COMPOSITIONS: Mapping[str, Composition] = {composition.name: composition for composition in _ALL}
"""The compositions by name; `assay collector validate` checks all of them."""
