"""Write the settings tables of documentation pages from the settings' models.

    python -m assay.host.reference README.md

A table stands between `<!-- settings: module:Model -->` and `<!-- end of settings -->`. It has one row for
each setting: key, type, default and description. The package of an exporter can document its `Settings` in
the same way.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel

_Schema: TypeAlias = Mapping[str, Any]
_Row: TypeAlias = tuple[str, str, str, str]

_TABLE = re.compile(
    r"(?P<start><!-- settings: (?P<module>[\w.]+):(?P<model>\w+) -->\n).*?(?P<end><!-- end of settings -->)",
    re.DOTALL,
)
_TYPES = {"string": "text", "boolean": "`true` or `false`", "object": "mapping"}
_FORMATS = {"path": "path", "file-path": "path of a file", "password": "secret text"}
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "more than",
    "maximum": "at most",
    "exclusiveMaximum": "less than",
}


def settings_table(model: type[BaseModel]) -> str:
    """Return a Markdown table of a model's settings, those of nested models included."""
    schema = model.model_json_schema()
    rows = (f"| {' | '.join(row)} |" for row in _Walker(schema.get("$defs", {})).members(schema, ""))
    return "\n".join(("| key | type | default | description |", "| --- | --- | --- | --- |", *rows))


def with_tables(page: str) -> str:
    """Return a page with its settings tables rewritten."""

    def rewrite(match: re.Match[str]) -> str:
        model: type[BaseModel] = getattr(import_module(match["module"]), match["model"])
        return f"{match['start']}\n{settings_table(model)}\n\n{match['end']}"

    return _TABLE.sub(rewrite, page)


class _Walker:
    """Walks the JSON schema that pydantic generates for a model."""

    def __init__(self, definitions: Mapping[str, _Schema]) -> None:
        self._definitions = definitions

    def members(self, schema: _Schema, prefix: str) -> Iterator[_Row]:
        """Yield the rows of an object's members."""
        required = schema.get("required", ())
        for name, member in schema.get("properties", {}).items():
            yield from self._setting(member, f"{prefix}{name}", required=name in required)

    def _setting(self, schema: _Schema, key: str, *, required: bool) -> Iterator[_Row]:
        nested = list(self._nested(schema, key))
        if "description" in schema or not nested:
            default = "required" if required else _default(schema.get("default"))
            yield f"`{key}`", self._type(schema), default, schema.get("description", "")
        yield from nested

    def _nested(self, schema: _Schema, key: str) -> Iterator[_Row]:
        """Yield the rows of the objects that a setting's value contains."""
        schema = self._resolve(schema)
        if "properties" in schema:
            yield from self.members(schema, f"{key}.")
        elif "oneOf" in schema:
            yield from self._variants(schema, f"{key}.")
        for branch in schema.get("anyOf", ()):
            yield from self._nested(branch, key)
        if "items" in schema:
            yield from self._nested(schema["items"], f"{key}[]")
        values = schema.get("additionalProperties")
        if not isinstance(values, bool | None):
            yield from self._nested(values, f"{key}.<name>")

    def _variants(self, schema: _Schema, prefix: str) -> Iterator[_Row]:
        """Yield the rows of objects that differ by their discriminator: the shared settings first."""
        discriminator: str = schema["discriminator"]["propertyName"]
        variants = {
            name: self._resolve({"$ref": reference})
            for name, reference in schema["discriminator"]["mapping"].items()
        }
        names = " or ".join(f"`{name}`" for name in variants)
        yield f"`{prefix}{discriminator}`", names, "required", "Selects the settings below."
        first = next(iter(variants.values()))
        shared: set[str] = set(first["properties"]).intersection(
            *(v["properties"] for v in variants.values())
        )
        yield from self.members(_only(first, shared - {discriminator}), prefix)
        for name, variant in variants.items():
            for key, kind, default, text in self.members(
                _only(variant, set(variant["properties"]) - shared), prefix
            ):
                yield key, kind, default, f"`{discriminator}: {name}`. {text}"

    def _type(self, schema: _Schema) -> str:
        schema = self._resolve(schema)
        if "anyOf" in schema:
            branches = [self._type(branch) for branch in schema["anyOf"] if branch != {"type": "null"}]
            return " or ".join(dict.fromkeys(branches))
        if "enum" in schema or "const" in schema:
            return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
        if schema.get("type") == "array":
            return f"list of {self._type(schema['items'])}"
        kind: str = schema.get("type", "object")
        bounds = [f"{words} {_number(schema[key])}" for key, words in _BOUNDS.items() if key in schema]
        return ", ".join((_FORMATS.get(schema.get("format", "")) or _TYPES.get(kind, kind), *bounds))

    def _resolve(self, schema: _Schema) -> _Schema:
        if "$ref" in schema:
            return self._definitions[schema["$ref"].rpartition("/")[2]]
        return schema


def _only(schema: _Schema, names: set[str]) -> _Schema:
    properties = {name: member for name, member in schema["properties"].items() if name in names}
    return {**schema, "properties": properties}


def _default(value: object) -> str:
    if value is None or isinstance(value, list | dict):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = _number(value) if isinstance(value, int | float) else str(value)
    return f"`{text}`" if text else ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _main(pages: Sequence[str]) -> None:
    for page in map(Path, pages):
        page.write_text(with_tables(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _main(sys.argv[1:])
