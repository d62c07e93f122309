"""Importing the package loads only the modules that are used."""

import json
import subprocess
import sys

import pytest

import assay.semconv


def _loaded(statement):
    """Return the modules of the package that a new interpreter has loaded after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    modules = set(json.loads(done.stdout))
    assert not {"yaml", "jinja2", "socket", "opentelemetry"} & modules
    return {name.removeprefix("assay.semconv") for name in modules if name.startswith("assay.semconv")}


def test_the_package_alone():
    assert _loaded("import assay.semconv") == {""}


@pytest.mark.parametrize("name", ["attributes", "events", "metrics", "spans"])
def test_one_module_of_constants(name):
    assert _loaded(f"from assay.semconv import {name}") == {"", "._generated", f"._generated.{name}"}


def test_the_types_do_not_load_the_catalogue():
    assert _loaded("import assay.semconv.catalogue") == {"", ".catalogue"}


def test_the_schema_url():
    expected = {"", "._generated", "._generated.schema"}
    assert _loaded("from assay.semconv import SCHEMA_URL") == expected


def test_the_catalogue():
    assert "._generated.catalogue" in _loaded("from assay.semconv import CATALOGUE")


def test_every_exported_name_is_there():
    assert {*assay.semconv.__all__} <= {*dir(assay.semconv)}
    assert all(getattr(assay.semconv, name) is not None for name in assay.semconv.__all__)


def test_other_names_are_not():
    with pytest.raises(AttributeError, match="has no attribute 'CATALOG'"):
        assay.semconv.CATALOG  # noqa: B018 - reading it is the test
