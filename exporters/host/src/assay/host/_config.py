"""Load the YAML configuration file and report each error with its line and key.

`${env:NAME}` and `${env:NAME:-default}` are replaced with an environment variable, `${file:path}` with the
text of a file without its last line end; `$$` is a dollar sign. References are replaced after the YAML is
parsed, so a value cannot change the structure of the document.
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

from assay.host._settings import HostConfig
from assay.host.errors import ConfigError

_Path: TypeAlias = tuple[str | int, ...]

_REFERENCE = re.compile(r"\$\$|\$\{(?P<kind>[^:}]*):(?P<name>[^}]*?)(?::-(?P<default>[^}]*))?\}|\$\{[^}]*\}?")


def load_config(path: str | Path) -> HostConfig:
    """Load and validate a configuration file.

    Raises:
        ConfigError: The file cannot be read or is not valid; the message lists every problem with line and
            key.
    """
    file = Path(path)
    reader = _Reader(file)
    try:
        text = file.read_text(encoding="utf-8")
        root: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
        document: Any = reader.read(root, ()) if root is not None else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot read the file: {error}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file}: not valid YAML: {error}") from error
    if reader.problems:
        raise ConfigError("\n".join(reader.problems))
    try:
        return HostConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(
            "\n".join(reader.explain(detail, HostConfig) for detail in _root_causes(error))
        ) from None


def explain_section(error: ValidationError, model: type[BaseModel], section: str) -> str:
    """Return one line for each error in the settings of an exporter.

    Args:
        error: Raised by `model`.
        model: The exporter's settings model.
        section: Dotted path of the section, such as `exporters.cdevents`.
    """
    reader = _Reader(None)
    prefix = tuple(section.split("."))
    return "\n".join(reader.explain(detail, model, prefix) for detail in _root_causes(error))


def _root_causes(error: ValidationError) -> list[ErrorDetails]:
    """Return the errors without those that follow from a deeper one.

    A list with one invalid item, for example, is also reported as too short.
    """
    details = error.errors()
    locations = [detail["loc"] for detail in details]
    return [
        detail
        for detail in details
        if not any(
            other != detail["loc"] and other[: len(detail["loc"])] == detail["loc"] for other in locations
        )
    ]


class _Reader:
    """Converts YAML nodes to values and records the line of each key."""

    def __init__(self, file: Path | None) -> None:
        self.problems: list[str] = []
        self._file = file
        self._lines: dict[_Path, int] = {}
        self._loader = yaml.SafeLoader("")

    def read(self, node: yaml.Node, path: _Path) -> Any:  # noqa: ANN401  any YAML value
        self._lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, index)) for index, item in enumerate(node.value)]
        try:
            value: Any = self._loader.construct_object(node)  # pyright: ignore[reportUnknownMemberType]  (untyped)
        except (yaml.constructor.ConstructorError, ValueError) as error:  # an unknown tag or an invalid date
            problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
            self.problems.append(f"{self._where(path)}: {problem}: quote the value to make it text")
            return ""
        return self._resolve(value, path) if isinstance(value, str) else value

    def _read_mapping(self, node: yaml.MappingNode, path: _Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            inner = (*path, key)
            if key in values:
                line = key_node.start_mark.line + 1
                self.problems.append(f"{self._file}:{line}: {_dotted(inner)}: duplicate key")
                continue
            self._lines[inner] = key_node.start_mark.line + 1
            values[key] = self.read(value_node, inner)
        return values

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
        """Return one line that describes a validation error."""
        path = self._path(detail, prefix)
        where = self._where(path)
        if detail["type"] == "extra_forbidden":
            known = _keys(model, path[len(prefix) : -1])
            return f"{where}: unknown key; {nearest(str(path[-1]), known)}"
        if detail["type"] == "missing":
            return f"{where}: missing"
        return f"{where}: {detail['msg'].removeprefix('Value error, ')}"

    def _path(self, detail: ErrorDetails, prefix: _Path) -> _Path:
        """Return the keys and indexes that lead to an error, without the names of union branches.

        A key may have the name of a branch: it is in the file, or it is the unknown key.
        """
        path, steps = prefix, detail["loc"]
        for number, step in enumerate(steps, 1):
            is_unknown_key = detail["type"] == "extra_forbidden" and number == len(steps)
            if is_unknown_key or not _is_union_branch(step) or (*path, step) in self._lines:
                path = (*path, step)
        return path

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
            raise ConfigError(f"cannot read ${{file:{name}}}: {error}") from error
    raise ConfigError(
        f"{match[0]} is not a known reference: write ${{env:NAME}}, ${{file:path}}, or $$ for a dollar sign"
    )


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `did you mean 'address'?`, or the list of known words when none is similar."""
    similar = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {similar[0]!r}?" if similar else f"known here: {', '.join(sorted(known)) or 'none'}"


def _is_union_branch(step: str | int) -> bool:
    """Return whether a step of an error's path names a branch of a union instead of a key.

    Pydantic writes such a step as `Token`, `dict[str,…]` or `function-after[…]`.
    """
    return isinstance(step, str) and (step == "Token" or "[" in step)


def _keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Return the keys that a model allows at a location."""
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
