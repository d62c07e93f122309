"""The Collector accepts every composition, and names mistakes in configurations."""

from __future__ import annotations

import os
import re
import socket

import pytest

from assay.cli._collector.binary import validate
from assay.cli._collector.errors import CollectorStartError, ConfigurationInvalidError
from assay.cli._collector.files import COMPOSITIONS, config_directory

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_composition_is_valid(collector_binary, name):
    composition = COMPOSITIONS[name]
    validate(collector_binary.path, composition.paths, {**os.environ, **composition.required})


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        (name, variable)
        for name, each in COMPOSITIONS.items()
        for variable in each.required
        if variable != "ASSAY_COLLECTOR_AUDIT_CLIENT_CA"  # test_audit.py: only a start reveals it
    ],
)
def test_composition_is_invalid_without_a_required_variable(collector_binary, name, variable):
    composition = COMPOSITIONS[name]
    environment = {**os.environ, **composition.required}
    del environment[variable]
    with pytest.raises(ConfigurationInvalidError):
        validate(collector_binary.path, composition.paths, environment)


def test_readme_lists_every_variable_with_its_default():
    folder = config_directory()
    text = "".join(path.read_text() for path in sorted(folder.glob("*.yaml")))
    used = re.findall(r"\$\{env:(\w+)(:-[^}]*)?\}", text)
    wanted = {(name, default.removeprefix(":-") if default else "required") for name, default in used}
    wanted.add(("K8S_NODE_NAME", "required"))
    readme = (folder / "README.md").read_text()
    rows = re.findall(r"^\| `([A-Z]\w+)` \| `?([^|`]*?)`? \|", readme.replace("| |", "|  |"), re.MULTILINE)
    assert set(rows) == wanted


def test_configurations_contain_no_secrets():
    for path in sorted(config_directory().glob("*.yaml")):
        for line in re.findall(r"^\s*(?:token|authorization):.*$", path.read_text(), re.MULTILINE):
            assert "${env:" in line or "*host_authorization" in line or "not-used" in line, (path, line)


def test_nothing_listens_beyond_loopback():
    for path in sorted(config_directory().glob("*.yaml")):
        assert "0.0.0.0" not in path.read_text()
        for default in re.findall(r"_(?:ADDRESS|HOST):-([^}]*)}", path.read_text()):
            assert default.startswith("127.0.0.1")


def test_unknown_key_is_named(collector_binary, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("exporters:\n  otlp_grpc/metrics:\n    endpont: 127.0.0.1:1\n")
    composition = COMPOSITIONS["gateway"]
    with pytest.raises(ConfigurationInvalidError, match="endpont"):
        validate(collector_binary.path, [*composition.paths, wrong], os.environ)


def test_unknown_component_is_named(collector_binary, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("exporters:\n  kafka: {}\n")
    composition = COMPOSITIONS["gateway"]
    with pytest.raises(ConfigurationInvalidError, match="kafka"):
        validate(collector_binary.path, [*composition.paths, wrong], os.environ)


def test_port_in_use_is_named(make_collector, addresses):
    host, port = addresses.otlp_grpc.split(":")
    with socket.create_server((host, int(port))):
        collector = make_collector("gateway")
        with pytest.raises(
            CollectorStartError, match=rf"{addresses.otlp_grpc}: bind: address already in use"
        ):
            collector.start()
    assert collector.pid is None
