"""The source code takes names from the registry's constants, and creates only metrics of the registry."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from assay.semconv import CATALOGUE, attributes, metrics

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path
    for pattern in ("semconv/src", "core/*/src", "exporters/*/src", "instrumentations/*/src", "cli/src")
    for folder in ROOT.glob(pattern)
    for path in folder.rglob("*.py")
)
# The bus does not import the registry, so it may state the one attribute that it shares with it.
MAY_STATE = ("core/telemetry/src/assay/telemetry/correlation.py", [attributes.ASSAY_CORRELATION_ID])
CREATES_BY_VARIABLE_NAMES = (
    "core/telemetry/src/assay/telemetry/",  # the bridge: those of a catalogue
    "instrumentations/snakepit/src/opentelemetry/instrumentation/snakepit/metrics.py",  # the user's own
)
KINDS = {
    "create_counter": "counter",
    "create_observable_counter": "counter",
    "create_up_down_counter": "updowncounter",
    "create_observable_up_down_counter": "updowncounter",
    "create_histogram": "histogram",
    "create_gauge": "gauge",
    "create_observable_gauge": "gauge",
}


class Created(NamedTuple):
    """An instrument that the source code creates: its place, and name, kind and unit."""

    place: str
    name: str
    kind: str
    unit: str


def _parsed() -> Iterator[tuple[str, ast.Module]]:
    for path in SOURCES:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))


def _literal(node: ast.expr | None) -> str | None:
    """Return the text of a literal, or of one of the generated constants (`metrics.X`)."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Attribute):
        return getattr(metrics, node.attr, None)
    return None


def _argument(call: ast.Call, name: str, position: int) -> ast.expr | None:
    named = {each.arg: each.value for each in call.keywords}
    return named.get(name, call.args[position] if len(call.args) > position else None)


def _created(place: str, call: ast.Call) -> Created | None:
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in KINDS:
        return None
    place = f"{place}:{call.lineno}"
    name = _literal(_argument(call, "name", 0))
    if name is None:
        assert place.startswith(CREATES_BY_VARIABLE_NAMES), (
            f"{place} creates an instrument by a name that varies"
        )
        return None
    unit = _literal(_argument(call, "unit", 2 if "observable" in call.func.attr else 1))
    assert unit is not None, f"{place}: the unit of {name} is not a literal"
    return Created(place, name, KINDS[call.func.attr], unit)


@pytest.fixture(scope="module")
def created():
    """The instruments that the product creates, except those that a catalogue defines."""
    calls = ((place, node) for place, tree in _parsed() for node in ast.walk(tree))
    found = [_created(place, node) for place, node in calls if isinstance(node, ast.Call)]
    return [each for each in found if each is not None]


def test_created_metrics_are_in_the_registry(created):
    assert len(created) > 15
    for each in created:
        metric = CATALOGUE.metrics.get(each.name)
        assert metric is not None, f"{each.place}: {each.name} is not in semconv/registry"
        assert (each.kind, each.unit) == (metric.instrument, metric.unit), each.place
        assert metric.recordings == (), f"{each.place}: bus events are recorded in {each.name} too"


def test_metrics_without_events_are_created(created):
    own = {name for name, metric in CATALOGUE.metrics.items() if not metric.recordings}
    assert own == {each.name for each in created}


def test_keys_come_from_the_constants():
    keys = {key for key in CATALOGUE.attributes if key.startswith(("assay.", "audit."))}
    stated = {}
    for place, tree in _parsed():
        literals = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
        found = [value for value in literals if isinstance(value, str) and value in keys]
        if found and not place.startswith("semconv/") and (place, found) != MAY_STATE:
            stated[place] = found
    assert not stated, "\n".join(f"{place} states {sorted(set(found))}" for place, found in stated.items())
