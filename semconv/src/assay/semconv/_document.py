"""Reads YAML and keeps the line of every value.

People write registries, so every error in one is reported as `file:line`. PyYAML's composer has the line
marks that its constructor discards; a `Node` keeps them beside the value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard, cast

import yaml

from assay.semconv._errors import RegistryError, nearest

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, if installed, is ten times as fast
_LABELS: dict[type, str] = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True, slots=True)
class Field:
    """The rule for one key of a mapping.

    Args:
        types: Python types that the value may have.
        required: The key must be present.
        choices: Allowed values; empty: any.
    """

    types: tuple[type, ...]
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a YAML file and its place.

    Args:
        value: A scalar, a list of nodes, or a mapping of text to nodes.
        path: The file.
        line: The line, counted from 1.
    """

    value: Any
    path: Path
    line: int

    def error(self, problem: str, remedy: str = "") -> RegistryError:
        """Return an error that names this place."""
        return RegistryError(problem, path=self.path, line=self.line, remedy=remedy)

    def __contains__(self, key: str) -> bool:
        return _is_mapping(self.value) and key in self.value

    def __getitem__(self, key: str) -> Node:
        return self.value[key]

    def items(self, key: str) -> Iterator[Node]:
        """Yield the elements of the list under `key`; none if it is absent."""
        if key in self:
            yield from self[key].value

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever YAML can hold
        """Return the plain value under `key`, else `default`."""
        return self[key].plain() if key in self else default

    def plain(self) -> Any:  # noqa: ANN401 - whatever YAML can hold
        """Return the value without places."""
        if _is_mapping(self.value):
            return {key: node.plain() for key, node in self.value.items()}
        return [node.plain() for node in self.parts()] if isinstance(self.value, list) else self.value

    def expect(self, what: str, *types: type) -> None:
        """Check that the value has one of the types. A bool is not taken as an int; an int is as a float.

        Args:
            what: Name of the value in the error's message.
            types: The types.

        Raises:
            RegistryError: It has none of them.
        """
        fits = type(self.value) in types or (float in types and type(self.value) is int)
        if not fits:
            wanted = " or ".join(_LABELS[each] for each in types)
            raise self.error(f"{what} must be {wanted}, not {_describe(self.value)}", "correct the value")

    def check(self, what: str, fields: Mapping[str, Field]) -> None:
        """Check that this is a mapping with all required fields, of the right types, and no others.

        Args:
            what: Name of the mapping in the error's message.
            fields: The rules, by key.

        Raises:
            RegistryError: It is not.
        """
        self.expect(what, dict)
        for key, node in self.value.items():
            field = fields.get(key)
            if field is None:
                remedy = nearest(key, fields) or f"known here: {', '.join(sorted(fields))}"
                raise node.error(f"{what} has the unknown key `{key}`", remedy)
            node.expect(f"`{key}` of {what}", *field.types)
            if field.choices and node.value not in field.choices:
                remedy = f"it is one of: {', '.join(field.choices)}"
                raise node.error(f"`{key}` of {what} is unknown: `{node.value}`", remedy)
        for key, field in fields.items():
            if field.required and key not in self.value:
                raise self.error(f"{what} has no `{key}`", f"add `{key}:`")

    def parts(self) -> list[Node]:
        """Return the elements of a list or the members of a mapping."""
        if _is_mapping(self.value):
            return list(self.value.values())
        return cast("list[Node]", self.value)

    def texts(self, what: str, key: str) -> tuple[str, ...]:
        """Return the list of texts under `key`; empty if it is absent.

        Raises:
            RegistryError: An element is not a text.
        """
        for node in self.items(key):
            node.expect(f"an element of `{key}` of {what}", str)
        return tuple(self.get(key, ()))


def read(path: Path) -> Node:
    """Return the content of a YAML file.

    Raises:
        RegistryError: It cannot be read, or is not one YAML mapping in UTF-8.
    """
    try:
        root = yaml.compose(path.read_bytes(), Loader=_Loader)
    except OSError as error:
        raise RegistryError(
            f"cannot be read: {error.strerror}",
            path=path,
            line=1,
            remedy="check the path and its permissions",
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise RegistryError(
            f"is not YAML: {error.problem}",
            path=path,
            line=line,
            remedy="correct the syntax at this line",
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise RegistryError(
            f"is not YAML: {error}",
            path=path,
            line=1,
            remedy="write it as UTF-8 text without control characters",
        ) from error
    if root is None:
        remedy = "start it with `file_format: definition/2`"
        raise RegistryError("is empty", path=path, line=1, remedy=remedy)
    try:
        node = _convert(root, path, frozenset())
    except RecursionError as error:
        raise RegistryError("is nested too deeply", path=path, line=1, remedy="flatten it") from error
    node.expect("a registry file", dict)
    return node


def _convert(node: yaml.Node, path: Path, above: frozenset[int]) -> Node:
    """Return a PyYAML node as a `Node`; `above` holds the ids of the nodes around it."""
    line = node.start_mark.line + 1
    if id(node) in above:
        problem = "a YAML alias contains itself"
        raise RegistryError(problem, path=path, line=line, remedy="remove the alias")
    within = above | {id(node)}
    if isinstance(node, yaml.MappingNode):
        members: dict[str, Node] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                raise RegistryError("a key must be text", path=path, line=key_line, remedy="quote it")
            if key in members:
                problem = f"duplicate key `{key}`"
                raise RegistryError(problem, path=path, line=key_line, remedy="keep one of them")
            value = _convert(value_node, path, within)
            # The line of the key, not of the block below it: an author searches for the key.
            members[key] = Node(value.value, path, key_line)
        return Node(members, path, line)
    if isinstance(node, yaml.SequenceNode):
        return Node([_convert(each, path, within) for each in node.value], path, line)
    return Node(_scalar(node, path, line), path, line)


def _scalar(node: yaml.Node, path: Path, line: int) -> object:
    constructor = yaml.SafeLoader("")
    try:
        return constructor.construct_object(node)  # pyright: ignore[reportUnknownMemberType]
    except (yaml.YAMLError, ValueError) as error:
        raise RegistryError(
            f"cannot read the value `{node.value}`",
            path=path,
            line=line,
            remedy="quote it if it is text",
        ) from error
    finally:
        constructor.dispose()


def _is_mapping(value: object) -> TypeGuard[dict[str, Node]]:
    return isinstance(value, dict)


def _describe(value: object) -> str:
    if value is None:
        return "empty"
    return _LABELS[type(cast("object", value))] if isinstance(value, dict | list) else f"`{value}`"
