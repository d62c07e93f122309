"""The manifest agrees with its lock and lists only components that the configurations need."""

from __future__ import annotations

import re

import pytest
import yaml

from assay.cli._collector.binary import inspect, named_components
from assay.cli._collector.files import COMPOSITIONS, config_directory, distribution_directory

CONFIGS = sorted(config_directory().glob("*.yaml"))


@pytest.fixture(scope="module")
def manifest() -> dict:
    return yaml.safe_load((distribution_directory() / "builder.yaml").read_text())


def test_lock_has_every_component_at_its_version(manifest):
    required = set(
        re.findall(r"^\t(\S+ v\S+)", (distribution_directory() / "go.mod").read_text(), re.MULTILINE)
    )
    kinds = ("receivers", "processors", "exporters", "connectors", "extensions", "providers")
    components = {component["gomod"] for kind in kinds for component in manifest[kind]}
    assert components <= required


def test_components_without_a_stable_version_have_one_version(manifest):
    kinds = ("receivers", "processors", "exporters", "connectors", "extensions")
    versions = {component["gomod"].rpartition(" v")[2] for kind in kinds for component in manifest[kind]}
    assert versions == {manifest["dist"]["version"]}


@pytest.mark.slow
def test_binary_has_exactly_the_components_of_the_configurations(collector_binary, manifest):
    if collector_binary.source in ("env", "path", "container"):
        pytest.skip(f"this Collector is not built from our manifest: {collector_binary.path}")
    version, components = inspect(collector_binary.path)
    assert version == manifest["dist"]["version"]
    assert components == named_components(CONFIGS)


def test_every_file_belongs_to_a_composition():
    composed = {path for composition in COMPOSITIONS.values() for path in composition.paths}
    assert composed == set(CONFIGS)
