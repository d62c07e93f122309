"""Which bridges a process has, with the distro's and with instrumentors of several subsystems."""

from __future__ import annotations

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest

from assay.semconv import SCHEMA_URL

pytestmark = pytest.mark.slow

REGISTRY = """
file_format: definition/2
events:
  - name: shop.order.taken
    brief: An order was taken.
    stability: development
  - name: bakery.bread.baked
    brief: Bread was baked.
    stability: development
"""

PROGRAM = """
from assay.telemetry import execute
execute("shop.order.taken")
execute("bakery.bread.baked")
"""

INSTRUMENTOR = """
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
from assay.telemetry.bridge import Bridge, Scope, defaults

class ShopInstrumentor(BaseInstrumentor):
    def instrumentation_dependencies(self):
        return {dependencies}
    def _instrument(self, **kwargs):
        given = defaults()
        Bridge(given.catalogue.of("shop"), scope=Scope("shop.instrumentation"),
               audit=given.audit, records=given.records).attach()
    def _uninstrument(self, **kwargs):
        pass
"""


@pytest.fixture
def install(tmp_path: Path):
    """Install a distribution with an instrumentor named `shop`; return the environment that has it."""

    def install(*, requires: str = "assay-telemetry", dependencies: str = "()") -> dict[str, str]:
        site = tmp_path / "site"
        info = site / "shop_instrumentation-1.0.dist-info"
        info.mkdir(parents=True)
        (site / "shop_instrumentation.py").write_text(INSTRUMENTOR.format(dependencies=dependencies))
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: shop-instrumentation\nVersion: 1.0\nRequires-Dist: {requires}\n"
        )
        (info / "entry_points.txt").write_text(
            "[opentelemetry_instrumentor]\nshop = shop_instrumentation:ShopInstrumentor\n"
        )
        registry = tmp_path / "shop.yaml"
        registry.write_text(REGISTRY)
        return {"PYTHONPATH": str(site), "ASSAY_REGISTRY": str(registry)}

    return install


def scopes(receiver) -> dict[str, str]:
    """The scope of each log event, by its name."""
    return {
        record.event_name: scope.scope.name
        for request in receiver.of("/v1/logs")
        for resource in request.resource_logs
        for scope in resource.scope_logs
        for record in scope.log_records
    }


def test_the_distros_scope_has_its_version_and_the_registrys_schema(instrumented, receiver, install):
    instrumented(PROGRAM, env=install())
    (scope,) = (
        scope
        for request in receiver.of("/v1/logs")
        for resource in request.resource_logs
        for scope in resource.scope_logs
        if scope.scope.name == "assay.distro"
    )
    assert (scope.scope.version, scope.schema_url) == (version("assay-distro"), SCHEMA_URL)


def test_a_subsystem_with_an_instrumentor_has_its_bridge_and_all_others_the_distros(
    instrumented, receiver, install
):
    done = instrumented(PROGRAM, env=install())
    assert done.stderr == ""
    assert scopes(receiver) == {
        "shop.order.taken": "shop.instrumentation",
        "bakery.bread.baked": "assay.distro",
    }


@pytest.mark.parametrize("disabled", ["shop", "*"])
def test_a_disabled_instrumentor_leaves_its_subsystem_without_telemetry(
    instrumented, receiver, install, disabled
):
    instrumented(PROGRAM, env={**install(), "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled})
    assert scopes(receiver) == {"bakery.bread.baked": "assay.distro"}


def test_an_instrumentor_of_others_does_not_own_a_subsystem_of_its_name(instrumented, receiver, install):
    env = {**install(requires="requests"), "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "shop"}
    instrumented(PROGRAM, env=env)
    assert scopes(receiver)["shop.order.taken"] == "assay.distro"


def test_an_unsupported_version_is_logged_and_left_alone(instrumented, receiver, install):
    done = instrumented(PROGRAM, env=install(dependencies='("requests < 1",)'))
    assert done.stderr.count("requests < 1") == 1
    assert scopes(receiver) == {"bakery.bread.baked": "assay.distro"}


@pytest.mark.skipif(
    find_spec("opentelemetry.instrumentation") is None
    or find_spec("opentelemetry.instrumentation.flowstone") is None,
    reason="needs opentelemetry-instrumentation-flowstone",
)
@pytest.mark.parametrize("disabled", ["flowstone,dagster", "*"])
def test_disabling_flowstone_leaves_its_events_without_telemetry(instrumented, receiver, disabled):
    program = """
from assay.telemetry import span
with span("flowstone.materialization", asset="orders", run_id="r"): pass
"""
    instrumented(program, env={"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": disabled})
    assert receiver.spans() == []
    assert scopes(receiver) == {}


def test_initialize_again_without_instruments_stops_recording(instrumented, receiver, install):
    program = """
from assay.distro import initialize
from assay.telemetry import execute
execute("flowstone.sensor.poll", None, {"sensor": "s"})
initialize(instruments=False)
execute("flowstone.checkpoint.approved", {"approval_time": 10**9}, {"approval_id": "a1", "checkpoint": "c"})
"""
    instrumented(program)
    assert "flowstone.checkpoint.approved.count" not in {metric.name for metric in receiver.metrics()}
    assert {"flowstone.sensor.poll", "flowstone.checkpoint.approved"} <= scopes(receiver).keys()
