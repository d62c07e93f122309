"""Resolves references to attributes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from assay.semconv import _upstream
from assay.semconv._definitions import Definitions
from assay.semconv._document import Node
from assay.semconv._errors import nearest
from assay.semconv._grammar import assay_annotations
from assay.semconv.catalogue import Attribute

_ENUM_TYPES = {str: "string", int: "int", bool: "boolean"}
_OF_REFERENCES = ("phase", "by_phase")
"""Annotations of a span's reference that determine when the attribute is set."""


class Attributes:
    """The attributes that references may name.

    Args:
        definitions: Their own attributes, and the groups.
        base: Attributes of the catalogue that the definitions build on.

    Attributes:
        defined: The definitions' own attributes and the upstream ones that were referred to, by key.
    """

    def __init__(self, definitions: Definitions, base: Mapping[str, Attribute]) -> None:
        self._definitions = definitions
        self._base = base
        self.defined = {
            key: _defined_attribute(node) for key, node in definitions.sections["attributes"].items()
        }

    def resolve(self, reference: Node) -> Attribute:
        """Return the attribute that a reference names, with the changes that the reference makes.

        Raises:
            RegistryError: The attribute is unknown.
        """
        found = self._find(reference["ref"])
        own = assay_annotations(reference)
        changes = {key: value for key, value in own.plain().items() if key not in _OF_REFERENCES}
        if "also" in changes:
            changes["also"] = own.texts(f"`{found.key}`", "also")
        return replace(found, **changes)

    def of(self, name: str, definition: Node) -> list[tuple[Node, Attribute]]:
        """Return the references and attributes of a signal.

        Args:
            name: Name of the signal.
            definition: Its definition.

        Raises:
            RegistryError: An attribute is unknown, or two have the same key or bus key.
        """
        found: list[tuple[Node, Attribute]] = []
        for reference in self._definitions.references(definition):
            attribute = self.resolve(reference)
            for _, other in found:
                if attribute.key == other.key or attribute.name == other.name:
                    problem = (
                        f"`{name}` has `{attribute.key}` and `{other.key}`, both named `{attribute.name}`"
                    )
                    raise reference.error(
                        problem, "remove one, or rename it with `annotations: {assay: {name: …}}`"
                    )
            found.append((reference, attribute))
        return found

    def _find(self, reference: Node) -> Attribute:
        key = reference.value
        if key in self.defined:
            return self.defined[key]
        if key in self._base:
            return self._base[key]
        if _upstream.known(key):
            return self.defined.setdefault(key, Attribute(key, key.replace(".", "_")))
        known = {*self.defined, *self._base, *_upstream.published()}
        remedy = nearest(key, known) or "define it under `attributes:`"
        raise reference.error(f"unknown attribute `{key}`", remedy)


def _defined_attribute(node: Node) -> Attribute:
    key = node["key"].value
    kind: Any = node["type"]
    kind = _ENUM_TYPES[type(kind["members"].value[0]["value"].value)] if "members" in kind else kind.value
    own: dict[str, Any] = dict(assay_annotations(node).plain())
    own["also"] = assay_annotations(node).texts(f"`{key}`", "also")
    for each in assay_annotations(node).items("also"):
        if not _upstream.known(each.value):
            problem = f"`also` of `{key}` is not an attribute of OpenTelemetry: `{each.value}`"
            raise each.error(problem, nearest(each.value, _upstream.published()))
    # Without its namespace: `alumiini.repo.name` is `repo_name` on the bus.
    short = key.partition(".")[2].replace(".", "_") or key
    return replace(Attribute(key, short, kind), **own)
