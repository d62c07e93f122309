import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest
from dagster import asset, materialize
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.instrumentation.flowstone.dagster._wiring import TARGETS


def _attributes():
    """Return the attributes of every patched owner, descriptors as they are."""
    found = {}
    for target in TARGETS:
        owner = import_module(target.module)
        *classes, name = target.path.split(".")
        for class_name in classes:
            owner = getattr(owner, class_name)
        owners = owner.__mro__ if isinstance(owner, type) else (owner,)
        for each in owners:
            found[target, each] = (name in vars(each), vars(each).get(name))
    return found


def test_uninstrument_leaves_no_trace():
    before = _attributes()
    DagsterInstrumentor().instrument()
    during = _attributes()
    DagsterInstrumentor().uninstrument()
    after = _attributes()

    assert {key: id(value) for key, (_, value) in after.items()} == {
        key: id(value) for key, (_, value) in before.items()
    }
    assert {key: there for key, (there, _) in after.items()} == {
        key: there for key, (there, _) in before.items()
    }
    changed = {
        target for (target, owner), value in during.items() if value[1] is not before[target, owner][1]
    }
    # An optional target may be missing in the oldest version.
    missing = {target for (target, owner), (there, _) in before.items() if not there}
    missing -= {target for (target, owner), (there, _) in before.items() if there}
    assert all(target.is_optional for target in missing)
    assert changed == set(TARGETS) - missing


def test_it_can_be_instrumented_again(telemetry):
    @asset
    def made():
        return 1

    for _ in range(2):
        DagsterInstrumentor().instrument()
        materialize([made])
        DagsterInstrumentor().uninstrument()
    materialize([made])

    assert len(telemetry.named("flowstone.run")) == 2


def test_a_failing_adapter_does_not_fail_dagster(telemetry, monkeypatch):
    from opentelemetry.instrumentation.flowstone.dagster import _io, _materializations, _runs, _step_span

    def fails(*_args, **_kwargs):
        raise RuntimeError("adapter")

    for module, names in (
        (_step_span, ("span", "planned_by")),
        (_materializations, ("span", "details_of")),
        (_runs, ("run",)),
        (_io, ("io_load", "io_store", "paths_of", "size_on_disk")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, fails)
    DagsterInstrumentor().instrument()
    try:

        @asset
        def made():
            return 1

        assert materialize([made]).output_for_node("made") == 1
    finally:
        DagsterInstrumentor().uninstrument()


def test_both_instrumentors_are_found_by_opentelemetry():
    found = {entry.name: entry.load() for entry in entry_points(group="opentelemetry_instrumentor")}

    assert found["flowstone_dagster"] is DagsterInstrumentor
    assert "flowstone" in found


@pytest.mark.slow
def test_instrumenting_imports_nothing_of_dagster():
    code = (
        "import sys; from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor as D;"
        "D().instrument(); assert 'dagster' not in sys.modules, 'imported';"
        "import dagster._core.execution.plan.execute_plan as p;"
        "assert hasattr(p.core_dagster_event_sequence_for_step, '__wrapped__')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
