import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest
from dagster import asset, materialize
from opentelemetry.instrumentation.flowstone.dagster import DagsterInstrumentor
from opentelemetry.instrumentation.flowstone.dagster.guard import guarded
from opentelemetry.instrumentation.flowstone.dagster.patching import Patches, Target
from opentelemetry.instrumentation.flowstone.dagster.wiring import TARGETS


def _held():
    """Return the attributes of every patched owner, as they are held."""
    held = {}
    for target in TARGETS:
        owner = import_module(target.module)
        *classes, name = target.path.split(".")
        for class_name in classes:
            owner = getattr(owner, class_name)
        owners = owner.__mro__ if isinstance(owner, type) else (owner,)
        for each in owners:
            held[target, each] = (name in vars(each), vars(each).get(name))
    return held


def test_uninstrument_leaves_no_trace():
    before = _held()
    DagsterInstrumentor().instrument()
    during = _held()
    DagsterInstrumentor().uninstrument()
    after = _held()

    assert {key: id(value) for key, (_, value) in after.items()} == {
        key: id(value) for key, (_, value) in before.items()
    }
    assert {key: there for key, (there, _) in after.items()} == {
        key: there for key, (there, _) in before.items()
    }
    changed = {
        target for (target, owner), value in during.items() if value[1] is not before[target, owner][1]
    }
    assert changed == set(TARGETS)


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


def test_what_others_wrapped_since_stays_and_ours_in_it_is_off(monkeypatch):
    module = import_module("dagster._core.execution.plan.execute_step")
    calls = []
    patches = Patches()
    monkeypatch.setattr(module, "_store_output", lambda: "stored")
    patches.wrap(
        Target(module.__name__, "_store_output"), lambda wrapped, _i, _a, _k: (calls.append(1), wrapped())[1]
    )
    inner = module._store_output
    monkeypatch.setattr(module, "_store_output", lambda: f"theirs {inner()}")
    assert module._store_output() == "theirs stored"
    patches.restore()

    assert module._store_output() == "theirs stored"
    assert len(calls) == 1


def test_a_function_that_dagster_no_longer_has_is_logged(caplog):
    patches = Patches()
    patches.wrap(Target("dagster._core.execution.api", "gone_for_good"), lambda *_: None)

    assert "has no gone_for_good" in caplog.text


def test_what_the_adapter_raises_is_logged_once_and_kept(caplog):
    @guarded
    def fails_always():
        raise RuntimeError("inside")

    assert fails_always() is None
    assert fails_always() is None
    assert caplog.text.count("Dagster goes on") == 1


def test_a_failing_adapter_does_not_fail_dagster(telemetry, monkeypatch):
    from opentelemetry.instrumentation.flowstone.dagster import io, runs, steps

    def fails(*_args, **_kwargs):
        raise RuntimeError("adapter")

    for module, names in (
        (steps, ("materialization", "name_of_step")),
        (runs, ("run",)),
        (io, ("io_load", "io_store", "paths_of", "size_on_disk")),
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
