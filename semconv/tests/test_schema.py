"""The registry is valid under OpenTelemetry's schemas."""

import json

import jsonschema
import pytest
import yaml

from assay.semconv.registry import MANIFESTS


def _schema(path):
    return jsonschema.Draft202012Validator(json.loads(path.read_text()))


def test_every_file_validates(registry, shared):
    validator = _schema(shared / "weaver" / "semconv.schema.v2.json")
    files = [path for path in registry.glob("*.yaml") if path.name not in MANIFESTS]
    assert len(files) >= 8
    for path in files:
        validator.validate(yaml.safe_load(path.read_text()))


def test_the_schema_rejects_an_older_format(shared):
    with pytest.raises(jsonschema.ValidationError):
        _schema(shared / "weaver" / "semconv.schema.v2.json").validate({"file_format": "definition/1"})


def test_the_manifest_validates(registry, shared):
    manifest = yaml.safe_load((registry / "manifest.yaml").read_text())
    # The published schema requires `{url: …}`. Weaver's parser (0.25.1) and all its examples take the URL
    # itself, so the file has that form.
    for each in (manifest, *manifest["dependencies"]):
        each["schema_url"] = {"url": each["schema_url"]}
    _schema(shared / "weaver" / "definition-manifest.v2.json").validate(manifest)
    assert manifest["dependencies"][0]["schema_url"]["url"].startswith("https://opentelemetry.io/schemas/1.")
