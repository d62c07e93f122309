"""The Python programs in `scripts/`, which have no suffix, are linted and type-checked."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(__file__).parents[1]


@pytest.mark.parametrize(("tool", "key"), [("ruff", "extend-include"), ("pyright", "include")])
def test_each_python_program_is_checked(tool, key):
    scripts = [path for path in (REPOSITORY / "scripts").iterdir() if path.is_file()]
    python = [path for path in scripts if "python" in path.read_text("utf-8").partition("\n")[0]]
    with (REPOSITORY / "pyproject.toml").open("rb") as file:
        checked = tomllib.load(file)["tool"][tool][key]
    assert {f"scripts/{path.name}" for path in python} <= set(checked)
    assert python
