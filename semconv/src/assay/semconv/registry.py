"""Load registry files: Assay's own, and those in which users define their events.

```python
from pathlib import Path

from assay.semconv.registry import extended

catalogue = extended(Path("shop.yaml"))
```

The files are OpenTelemetry semantic conventions (`file_format: definition/2`). Assay's additions to that
format are under `annotations: {assay: …}`. The wheel holds Assay's own files in `assay/semconv/definitions`,
as examples.
"""

from __future__ import annotations

import os
from pathlib import Path

from assay.semconv import CATALOGUE, _grammar
from assay.semconv._compile import compile_catalogue
from assay.semconv._definitions import Definitions
from assay.semconv._document import read
from assay.semconv._errors import RegistryError, SemconvError
from assay.semconv.catalogue import Catalogue

__all__ = ["RegistryError", "SemconvError", "definitions", "extended", "load"]

MANIFESTS = frozenset({"manifest.yaml", "registry_manifest.yaml"})
"""Files of a registry that define nothing."""


def load(*paths: str | os.PathLike[str], base: Catalogue | None = None) -> Catalogue:
    """Return the catalogue of registry files.

    Args:
        paths: Files, or folders of `*.yaml` files.
        base: A catalogue, usually `assay.semconv.CATALOGUE`. The files may refer to its attributes and
            events, and may not define its names again. The result does not include it: see
            `Catalogue.merged`.

    Raises:
        RegistryError: A file cannot be used; the message gives file, line and remedy.
    """
    base = base or Catalogue()
    return compile_catalogue(definitions(*paths, base=base), base)


def extended(*paths: str | os.PathLike[str]) -> Catalogue:
    """Return Assay's catalogue together with that of further registry files.

    Args:
        paths: Files, or folders of `*.yaml` files. They may refer to Assay's attributes and events.

    Raises:
        RegistryError: A file cannot be used; the message gives file, line and remedy.
    """
    return CATALOGUE.merged(load(*paths, base=CATALOGUE)) if paths else CATALOGUE


def definitions(*paths: str | os.PathLike[str], base: Catalogue | None = None) -> Definitions:
    """Return the checked definitions of registry files, with references not yet resolved.

    Args:
        paths: Files, or folders of `*.yaml` files.
        base: A catalogue whose names the files may not define again.

    Raises:
        RegistryError: A file does not have the form of a registry, or defines a name twice.
    """
    found = Definitions()
    for path in paths:
        for file in _files(Path(path)):
            document = read(file)
            _grammar.check(document)
            found.add(document, base or Catalogue())
    return found


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.rglob("*.y*ml") if file.name not in MANIFESTS)
    if not files:
        raise RegistryError(
            "is a folder without registry files", path=path, line=1, remedy="add a `.yaml` file"
        )
    return files
