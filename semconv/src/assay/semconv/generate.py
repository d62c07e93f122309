"""Generate files from the registry: `python -m assay.semconv.generate [--check]`.

Reads `semconv/registry`. Writes typed constants and the catalogue to `assay/semconv/_generated`, reference
pages to `docs/reference`, and the redaction rules of the application and of the gateway. With `--check` it
writes nothing, names each stale file, and exits 1 if there is one. It needs the extra
`generate`, and no network.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from assay.semconv import _reference, _upstream
from assay.semconv._compile import compile_catalogue
from assay.semconv._definitions import Definitions
from assay.semconv._document import Node, read
from assay.semconv._errors import SemconvError
from assay.semconv._literals import literal
from assay.semconv._redaction import rules
from assay.semconv.catalogue import Attribute, Catalogue, Span
from assay.semconv.registry import definitions

PACKAGE = Path(__file__).parent
ROOT = PACKAGE.parents[3]
REGISTRY = ROOT / "semconv" / "registry"
MODULES = PACKAGE / "_generated"
PAGES = ROOT / "docs" / "reference" / "semconv"
REDACTION = {
    "redaction_rules.py.j2": ROOT / "core/telemetry/src/assay/telemetry/_redaction_rules.py",
    "redaction.yaml.j2": ROOT / "collector-config/redaction.yaml",
    "redaction.md.j2": ROOT / "docs/reference/redaction.md",
}
"""Templates of the redaction rules, and the files that are made of them."""


class UnknownUpstreamError(SemconvError):
    """The registry refers to attributes that OpenTelemetry's package does not define."""

    def __init__(self, keys: set[str]) -> None:
        super().__init__(
            f"not in opentelemetry-semantic-conventions: {', '.join(sorted(keys))};"
            f" correct the `ref` or `also` in {REGISTRY}"
        )


def generate() -> dict[Path, str]:
    """Return the text of every generated file.

    Raises:
        RegistryError: The registry cannot be used.
        UnknownUpstreamError: It refers to an upstream attribute that does not exist.
    """
    found = definitions(REGISTRY)
    catalogue = compile_catalogue(found, Catalogue())
    names = _names(found, catalogue)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PACKAGE / "templates"),
        autoescape=False,  # noqa: S701 - it writes Python and Markdown, not HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {"constant": _constant, "ottl": _ottl, "quoted": _quoted, "cell": _cell}
    files: dict[Path, str] = {}
    for name, context in _modules(found, catalogue, names).items():
        text = environment.get_template(f"{name}.py.j2").render(context)
        files[MODULES / f"{name}.py"] = text
    for name, page in _reference.pages(found, catalogue).items():
        text = environment.get_template(f"{page.template}.md.j2").render(page=page, attributes_of=_attributes)
        files[PAGES / f"{name}.md"] = text
    redaction = rules(found)
    for template, path in REDACTION.items():
        files[path] = environment.get_template(template).render(redaction=redaction, full=literal)
    return files


def main(arguments: list[str] | None = None) -> int:
    """Write the files, or with `--check` name the stale ones; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m assay.semconv.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 naming each stale file")
    options = parser.parse_args(arguments)
    try:
        files = generate()
    except SemconvError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stale = [path for path, text in files.items() if not path.exists() or path.read_text("utf-8") != text]
    stale += [path for folder in (MODULES, PAGES) for path in _left_over(folder, files)]
    if options.check:
        for path in sorted(stale):
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run `python -m assay.semconv.generate`\n")
        return 1 if stale else 0
    for path in stale:
        if path not in files:
            path.unlink()
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], "utf-8")
    return 0


def _left_over(folder: Path, files: Mapping[Path, str]) -> list[Path]:
    """Return the generated files that the registry no longer asks for."""
    return [path for path in folder.glob("*.*") if path.suffix in {".py", ".md"} and path not in files]


def _names(found: Definitions, catalogue: Catalogue) -> set[str]:
    """Return the upstream attributes to which the registry refers."""
    names = catalogue.attributes.keys() - found.sections["attributes"].keys()
    names |= {also for attribute in catalogue.attributes.values() for also in attribute.also}
    unknown = names - _upstream.published()
    if unknown:
        raise UnknownUpstreamError(set(unknown))
    return set(names)


def _modules(found: Definitions, catalogue: Catalogue, names: set[str]) -> dict[str, dict[str, Any]]:
    variables = _variables(catalogue)
    attributes = {key: (_brief(node), _members(node)) for key, node in found.sections["attributes"].items()}
    attributes |= dict.fromkeys(names, ("Defined by OpenTelemetry.", ()))
    named = {
        section: {key: _brief(node) for key, node in sorted(found.sections[section].items())}
        for section in ("spans", "events", "metrics")
    }
    return {
        "__init__": {},
        "attributes": {"attributes": dict(sorted(attributes.items()))},
        "catalogue": {
            "catalogue": catalogue,
            "variables": variables,
            "full": literal,
            "literal": functools.partial(literal, names=variables),
        },
        "schema": {"url": read(REGISTRY / "manifest.yaml")["schema_url"].value},
        "upstream": {"names": sorted(names)},
        **{section: {section: entries} for section, entries in named.items()},
    }


def _variables(catalogue: Catalogue) -> dict[Attribute, str]:
    """Return a variable for each distinct attribute, so that the catalogue creates each once."""
    signals = [*catalogue.events.values(), *catalogue.spans.values()]
    every = [*catalogue.attributes.values()]
    every += [each for signal in signals for each in signal.attributes]
    for span in catalogue.spans.values():
        every += span.stop_attributes
        every += [each for phase in span.phase_attributes.values() for each in phase]
    every += [each for metric in catalogue.metrics.values() for each in metric.labels]
    return {attribute: f"_{number}" for number, attribute in enumerate(dict.fromkeys(every))}


def _attributes(span: Span) -> list[Attribute]:
    """Return the attributes of a span, each once, whichever phase sets it."""
    by_key = {each.key: each for phase in span.phases for each in span.set_at(phase)}
    return list(by_key.values())


def _constant(name: str) -> str:
    return name.replace(".", "_").replace("-", "_").upper()


def _ottl(text: str) -> str:
    """Return a text as a string of the Collector's transformation language."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quoted(text: str) -> str:
    """Return a text as a YAML string in a configuration of the Collector, which expands `$`."""
    return "'" + text.replace("$", "$$").replace("'", "''") + "'"


def _cell(text: str) -> str:
    """Return a text for a cell of a Markdown table."""
    return text.replace("|", "\\|")


def _brief(node: Node) -> str:
    return " ".join(node["brief"].value.split())


def _members(node: Node) -> tuple[tuple[str, object], ...]:
    if not isinstance(node["type"].value, dict):
        return ()
    return tuple((each["id"].value, each["value"].value) for each in node["type"].items("members"))


if __name__ == "__main__":
    sys.exit(main())
