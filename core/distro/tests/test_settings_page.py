"""docs/reference/settings.md lists exactly the variables that the code reads, as the code states them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from assay.distro._otel_variables import DEFAULTS
from assay.distro._settings import TABLE

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "settings.md"
VARIABLE = re.compile(r"\bASSAY_[A-Z][A-Z_]*[A-Z]\b")
FOR_TESTS = {"ASSAY_REQUIRE_SERVICES"}

pytestmark = pytest.mark.skipif(not PAGE.is_file(), reason="the package stands alone, outside its repository")


def rows() -> dict[str, list[str]]:
    table = {}
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if match := re.fullmatch(r"`((?:ASSAY|OTEL)_[A-Z_]+)`", cells[0]):
            assert match[1] not in table, f"two rows for {match[1]}"
            table[match[1]] = [cell.strip("` |") for cell in cells[1:]]
    return table


def in_the_code() -> set[str]:
    """The variables that string literals of the source code and the Collector's configurations name."""
    found = set()
    for pattern in ("*/src", "*/*/src"):
        for folder in ROOT.glob(pattern):
            for path in folder.rglob("*.py"):
                literals = (node.value for node in ast.walk(ast.parse(path.read_text())) if is_text(node))
                found |= {value for value in literals if VARIABLE.fullmatch(value)}
    for path in (ROOT / "collector-config").rglob("*.yaml"):
        found |= set(VARIABLE.findall(path.read_text()))
    return found


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def test_the_page_lists_exactly_the_variables_that_the_code_reads():
    page = {name for name in rows() if name.startswith("ASSAY_")}
    assert page - FOR_TESTS == in_the_code() | TABLE.keys()


@pytest.mark.parametrize("name", TABLE)
def test_the_row_of_a_setting_is_as_stated_in_the_code(name):
    setting = TABLE[name]
    default = f"`{setting.default}`" if setting.default else ""
    row = f"| `{name}` | {default} | {setting.allowed} | {setting.help} |"
    assert row in PAGE.read_text().splitlines()


def test_the_defaults_of_the_otel_variables():
    page = {name: cells[0] for name, cells in rows().items() if name.startswith("OTEL_")}
    assert page == DEFAULTS


def test_the_defaults_of_the_collectors_variables():
    text = "".join(path.read_text() for path in (ROOT / "collector-config").glob("*.yaml"))
    given = dict(re.findall(r"\$\{env:(ASSAY_[A-Z_]+):-([^}]*)\}", text))
    table = rows()
    assert given
    assert {name: table[name][0] for name in given} == given
