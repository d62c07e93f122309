"""A module whose name starts with an underscore is private to its distribution."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

PRIVATE = re.compile(r"\._(?!_)")


def imports(module: ast.Module) -> Iterator[str]:
    """Yield the dotted names that a module imports, of `from a import b` both `a` and `a.b`."""
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_distribution_imports_a_private_module_of_another(distribution, distributions):
    others = [other.package for other in distributions.values() if other is not distribution]
    found = {
        f"{name} imports {imported}"
        for name, module in distribution.modules.items()
        for imported in imports(module)
        for other in others
        if f"{imported}.".startswith(f"{other}.") and PRIVATE.search(imported.removeprefix(other))
    }
    assert found == set()
