"""The configuration file: YAML, with values from the environment and from files, and errors that say where.

`${env:NAME}` and `${env:NAME:-default}` stand for an environment variable, `${file:path}` for a file's text
without the line end at its end; `$$` is a dollar sign. They are put in after the YAML is read: a value
cannot change its shape.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from assay.host.errors import ConfigError
from assay.host.settings import HostConfig

_Path: TypeAlias = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\$|\$\{(?P<kind>[^:}]*):(?P<name>[^}]*?)(?::-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")


def load_config(path: str | Path) -> HostConfig:
    """Read and check a configuration file.

    Raises:
        ConfigError: It cannot be read, or does not hold; every problem is named with its line and key.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    reader = _Reader(file)
    document: Any = reader.read(root, ()) if root is not None else {}
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    try:
        return HostConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(reader.explain(detail, HostConfig) for detail in _causes(error))
        ) from None


def explain_section(error: ValidationError, model: type[BaseModel], section: str) -> str:
    """Say what is wrong with an exporter's own settings, key by key."""
    reader = _Reader(None)
    prefix = tuple(section.split("."))
    return "\n".join(reader.explain(detail, model, prefix) for detail in _causes(error))


def _causes(error: ValidationError) -> list[ErrorDetails]:
    """Leave out what only follows: a list is too short because none of its items is valid."""
    details = error.errors()
    places = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if not any(
            place != detail["loc"] and place[: len(detail["loc"])] == detail["loc"] for place in places
        )
    ]


class _Reader:
    """Turns YAML nodes into values, and remembers on which line each key stands."""

    def __init__(self, file: Path | None) -> None:
        self.problems: list[str] = []
        self._file = file
        self._lines: dict[_Path, int] = {}
        self._loader = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: _Path) -> Any:  # noqa: ANN401  any YAML
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            value: Any = self._loader.construct_object(node)  # pyright: ignore[reportUnknownMemberType]  (untyped)
        except (yaml.constructor.ConstructorError, ValueError) as error:  # an unknown tag, or no such date
            problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            self.problems.append(f"{self._where(path)}: {problem}: write it as text, in quotes")
            return ""
        return self._resolve(value, path) if isinstance(value, str) else value

    def _read_mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*path, key)
            if key in found:
                line = key_node.start_mark.line + 1
                self.problems.append(f"{self._file}:{line}: {_dotted(inner)}: the key is there twice")
                continue
            self._lines[inner] = key_node.start_mark.line + 1
            found[key] = self.read(value_node, inner)
        return found

    def _resolve(self, value: str, path: _Path) -> str:
        def replace(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            try:
                return _look_up(match)
            except ConfigError as error:
                self.problems.append(f"{self._where(path)}: {error}")
                return ""

        return _REFERENCE.sub(replace, value)

    def explain(self, detail: ErrorDetails, model: type[BaseModel], prefix: _Path = ()) -> str:
        """One line for one thing that does not hold."""
        location = tuple(step for step in detail["loc"] if not _is_union_step(step))
        path = (*prefix, *location)
        where = self._where(path)
        if detail["type"] == "extra_forbidden":
            known = _keys(model, location[:-1])
            return f"{where}: unknown key; {nearest(str(path[-1]), known)}"
        if detail["type"] == "missing":
            return f"{where}: missing"
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"

    def _where(self, path: _Path) -> str:
        if self._file is None:
            return _dotted(path)
        known = path
        while known and known not in self._lines:
            known = known[:-1]
        return f"{self._file}:{self._lines.get(known, 1)}: {_dotted(path)}".removesuffix(": ")


def _look_up(match: re.Match[str]) -> str:
    kind, name, default = match["kind"], match["name"], match["default"]
    if kind == "env":
        value = os.environ.get(name) or default
        if value is None:
            raise ConfigError(
                f"the environment variable {name} is not set: set it, or write ${{env:{name}:-default}}"
            )
        return value
    if kind == "file":
        try:
            return Path(name).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"${{file:{name}}} cannot be read: {error}") from error
    raise ConfigError(
        f"{match[0]} is not understood: write ${{env:NAME}}, ${{file:path}}, or $$ for a dollar sign"
    )


def nearest(word: str, known: Sequence[str]) -> str:
    """`did you mean 'address'?`, or the list when nothing is near."""
    found = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {found[0]!r}?" if found else f"known here: {', '.join(sorted(known)) or 'nothing'}"


def _is_union_step(step: str | int) -> bool:
    """Pydantic names the branch of a union in the path: `Token`, `dict[str,…]`, `function-after[…]`."""
    return isinstance(step, str) and (step == "Token" or "[" in step)


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys that a model knows at a place in it."""
    models = [model]
    for step in location:
        fields = [m.model_fields[step] for m in models if isinstance(step, str) and step in m.model_fields]
        models = [found for field in fields for found in _models_in(field.annotation)] or models
    return sorted({name for found in models for name in found.model_fields})


def _models_in(annotation: object) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _dotted(path: Sequence[str | int]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")
