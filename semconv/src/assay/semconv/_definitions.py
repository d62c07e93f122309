"""The definitions of registry files, checked and by name, with references not yet resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from assay.semconv import _grammar
from assay.semconv._document import Node
from assay.semconv._errors import nearest
from assay.semconv.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Definitions:
    """The definitions of all files, by section and name, in the order of the files."""

    sections: dict[str, dict[str, Node]] = field(
        default_factory=lambda: {section: {} for section in _grammar.SECTIONS}
    )

    def add(self, document: Node, base: Catalogue) -> None:
        """Add the definitions of a checked file.

        Raises:
            RegistryError: The file defines a name that another file, or `base`, defines.
        """
        for section, (name, _) in _grammar.SECTIONS.items():
            taken: Mapping[str, object] = getattr(base, section, {})
            for definition in document.items(section):
                key = definition[name].value
                if key in self.sections[section]:
                    first = self.sections[section][key]
                    place = f"{first.path}:{first.line}"
                    raise definition.error(
                        f"duplicate name `{key}` in `{section}`, first at {place}", "rename one"
                    )
                if key in taken:
                    remedy = "choose another name" + (", or use it by `ref`" * (section == "attributes"))
                    raise definition.error(f"duplicate name `{key}` in `{section}`: Assay defines it", remedy)
                self.sections[section][key] = definition

    def references(self, definition: Node, part: str = "attributes") -> Iterator[Node]:
        """Yield a definition's references to attributes, and those of the groups to which it refers.

        Raises:
            RegistryError: A group is not defined.
        """
        groups = self.sections["attribute_groups"]
        for reference in definition.items(part):
            if "ref" in reference:
                yield reference
                continue
            group = reference["ref_group"]
            if group.value not in groups:
                raise group.error(f"unknown attribute group `{group.value}`", nearest(group.value, groups))
            yield from self.references(groups[group.value])
