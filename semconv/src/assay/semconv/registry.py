"""Load registry files: ours, and those in which users define events of their own.

```python
from pathlib import Path

from assay.semconv.registry import extended

catalogue = extended(Path("shop.yaml"))
```

The files are OpenTelemetry semantic conventions (`file_format: definition/2`). What that format has no place
for stands under `annotations: {assay: …}`; `assay/semconv/definitions` holds the files of Assay to copy from.
"""

from __future__ import annotations

import os
from pathlib import Path

from assay.semconv import CATALOGUE, _grammar
from assay.semconv._compile import Definitions, compile_catalogue
from assay.semconv._document import read
from assay.semconv.catalogue import Catalogue
from assay.semconv.errors import RegistryError, SemconvError

__all__ = ["RegistryError", "SemconvError", "definitions", "extended", "load"]

MANIFESTS = frozenset({"manifest.yaml", "registry_manifest.yaml"})


def load(*paths: str | os.PathLike[str], base: Catalogue | None = None) -> Catalogue:
    """Return what the registry files define.

    Args:
        paths: Files, or folders of `*.yaml` files.
        base: A catalogue whose attributes and events the files may refer to and may not define again,
            usually `assay.semconv.CATALOGUE`. Its content is not in what is returned: see
            `Catalogue.merged`.

    Raises:
        RegistryError: A file cannot be used; the message gives file, line and remedy.
    """
    base = base or Catalogue()
    return compile_catalogue(definitions(*paths, base=base), base)


def extended(*paths: str | os.PathLike[str]) -> Catalogue:
    """Return Assay's catalogue with registry files of one's own, which may refer to what Assay defines.

    Raises:
        RegistryError: As `load`.
    """
    return CATALOGUE.merged(load(*paths, base=CATALOGUE)) if paths else CATALOGUE


def definitions(*paths: str | os.PathLike[str], base: Catalogue | None = None) -> Definitions:
    """Return the checked definitions of registry files, with references not yet resolved.

    Raises:
        RegistryError: A file has not the form of a registry, or a name is taken.
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
