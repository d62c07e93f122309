"""Where the services of one machine listen."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from assay.cli._collector.process import Addresses
from assay.cli._free_ports import free_addresses, is_free
from assay.endpoints import parse_address


@dataclass(frozen=True)
class HostAddresses:
    """Where the exporter host listens; the defaults are those of the Collector's configuration files.

    Args:
        grpc: For the Collector: traces, metrics and logs.
        http: For the Collector: audit records.
        direct: For applications without a Collector, and for receipts.
        metrics: For Prometheus: the metrics of all processes.
        health: For `/health` and the other health paths.
    """

    grpc: str = "127.0.0.1:4327"
    http: str = "127.0.0.1:4328"
    direct: str = "127.0.0.1:4329"
    metrics: str = "127.0.0.1:8889"
    health: str = "127.0.0.1:13134"

    @property
    def prometheus_url(self) -> str:
        """URL that Prometheus scrapes."""
        return f"http://{self.metrics}/metrics"

    @classmethod
    def free(cls, reserved: contextlib.ExitStack | None = None) -> HostAddresses:
        """Return loopback addresses with ports that are free now.

        Args:
            reserved: The ports stay reserved until it is closed; by default they are released at once.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**free_addresses(names, reserved))


@dataclass(frozen=True)
class StackAddresses:
    """Where the Collector and the exporter host listen."""

    collector: Addresses = field(default_factory=Addresses)
    host: HostAddresses = field(default_factory=HostAddresses)

    @classmethod
    def free(cls) -> StackAddresses:
        """Return loopback addresses with ports that are free now, no two of them the same."""
        # Reserved together: a port that is released could be chosen again at once.
        with contextlib.ExitStack() as reserved:
            return cls(Addresses.free(reserved), HostAddresses.free(reserved))

    def all(self) -> list[str]:
        """Return every address."""
        return [*dataclasses.asdict(self.collector).values(), *dataclasses.asdict(self.host).values()]


def kept_free_addresses(path: Path) -> StackAddresses:
    """Return addresses with free ports, and keep them in a file.

    The addresses in the file are returned again as long as all of them are free, so that running applications
    find restarted services.

    Args:
        path: The file; its folder is created when it is missing.
    """
    kept = _read(path)
    if kept is not None and all(map(is_free, kept.all())):
        return kept
    chosen = StackAddresses.free()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_text(json.dumps(dataclasses.asdict(chosen), indent=2), encoding="utf-8")
    return chosen


def _read(path: Path) -> StackAddresses | None:
    """Return the addresses in a file, None if the file is missing or has another form."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        addresses = StackAddresses(Addresses(**kept["collector"]), HostAddresses(**kept["host"]))
        for address in addresses.all():
            parse_address(address)
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None
    return addresses
