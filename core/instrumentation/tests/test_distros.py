"""Instrumentations under `opentelemetry-instrument`, with Assay's distro and with OpenTelemetry's own."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from assay.instrumentation.testing import OTLPReceiver, clean_environment, run_instrumented
from assay.instrumentation.testing.receiver import attributes

pytestmark = pytest.mark.slow

METADATA = "Metadata-Version: 2.1\nName: shop-instrumentation\nVersion: 1.0\n"
ENTRY_POINTS = """[opentelemetry_instrumentor]
shop = shop_instrumentation:ShopInstrumentor
shop_cart = shop_instrumentation:CartInstrumentor
shop_unsupported = shop_instrumentation:UnsupportedInstrumentor
"""


@dataclass
class Distro:
    """One distro: the folders that it needs on the Python path, and its environment."""

    folders: list[str]
    variables: dict[str, str]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """Return OpenTelemetry's distro in a folder of its own: an environment can use only one distro."""
    folder = tmp_path_factory.mktemp("distro")
    uv = shutil.which("uv") or str(Path(__file__).parents[3] / ".uv/bin/uv")
    requirement = f"opentelemetry-distro=={version('opentelemetry-instrumentation')}"
    done = subprocess.run(
        [uv, "pip", "install", "--quiet", "--no-deps", "--target", str(folder), requirement],
        env={key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    variables = {
        "OTEL_PYTHON_DISTRO": "distro",
        "OTEL_PYTHON_CONFIGURATOR": "configurator",
        "OTEL_TRACES_EXPORTER": "otlp",
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_LOGS_EXPORTER": "none",
    }
    return Distro([str(folder)], variables)


@pytest.fixture(params=["assay", "upstream"])
def distro(request):
    """Return each of the distros."""
    if request.param == "upstream":
        return request.getfixturevalue("upstream")
    if importlib.util.find_spec("assay.distro") is None:
        pytest.skip("assay-distro is not installed: the package is tested alone")
    return Distro([], {"OTEL_PYTHON_DISTRO": "assay", "OTEL_PYTHON_CONFIGURATOR": "assay"})


@pytest.fixture
def receiver():
    """Return the receiver that the programs export to."""
    with OTLPReceiver() as found:
        yield found


@pytest.fixture
def run(distro, receiver, projects, tmp_path):
    """Return a function that runs the program `app.py`, or another source, under the distro."""
    installed = tmp_path / "shop_instrumentation-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(METADATA)
    (installed / "entry_points.txt").write_text(ENTRY_POINTS)
    folders = [str(tmp_path), str(projects), *distro.folders]

    def run(source=None, **variables):
        program = tmp_path / "app.py"
        program.write_text(source or (projects / "app.py").read_text())
        environment = clean_environment(
            PYTHONPATH=os.pathsep.join(folders),
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint,
            OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
            **distro.variables,
        )
        done = run_instrumented("python", program, environment={**environment, **variables}, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_an_adapter_and_its_events_are_instrumented(run, receiver):
    done = run(SHOP_CART_REQUEST_HOOK="shop_instrumentation:name_the_owner")

    (span,) = receiver.spans("shop.basket.add")
    assert attributes(span.attributes)["shop.owner"] == "omar"
    assert [scope.name for scope in receiver.scopes()] == ["shop_instrumentation"]
    assert receiver.totals("shop.added", "item") == {"tea": 1}
    assert done.stderr.count("supports wrapt < 1.0 and found wrapt") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("disabled", "spans"), [("shop", 0), ("shop_cart", 0), ("*", 0), ("shop_unsupported", 1)]
)
def test_disabled_instrumentations_stay_disabled(run, receiver, disabled, spans):
    run(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=disabled)

    assert len(receiver.spans("shop.basket.add")) == spans
    assert receiver.totals("shop.added", "item") == ({"tea": 1} if spans else {})


def test_a_disabled_adapter_leaves_the_events_of_the_program(run, receiver):
    source = "from assay.telemetry import span\nwith span('shop.basket.add', item='tea'): pass\n"
    run(source, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="shop_cart")

    assert len(receiver.spans("shop.basket.add")) == 1


def test_uninstrument_in_the_program_stops_the_spans(run, receiver):
    source = (
        "import cart\n"
        "from shop_instrumentation import CartInstrumentor, ShopInstrumentor\n"
        "cart.Basket().add('tea')\n"
        "ShopInstrumentor().uninstrument()\n"
        "cart.Basket().add('tea')\n"
        "CartInstrumentor().uninstrument()\n"
        "cart.Basket().add('tea')\n"
    )
    run(source)

    assert len(receiver.spans("shop.basket.add")) == 2


def test_a_wrong_hook_is_a_warning_and_the_program_runs(run, receiver):
    source = "import logging\nlogging.basicConfig()\nimport cart\ncart.Basket().add('tea')\n"
    done = run(source, SHOP_CART_REQUEST_HOOK="shop_instrumentation:gone")

    assert len(receiver.spans("shop.basket.add")) == 1
    assert "SHOP_CART_REQUEST_HOOK=shop_instrumentation:gone) is not used" in done.stderr


def test_a_child_that_executes_another_program_joins_the_trace(run, receiver):
    source = (
        "import subprocess, sys\n"
        "from assay.instrumentation import prepare_child\n"
        "from assay.telemetry import span\n"
        "with span('shop.basket.add', item='parent'):\n"
        "    code = 'import cart; cart.Basket().add(\"child\")'\n"
        "    environment = prepare_child().environment()\n"
        "    subprocess.run([sys.executable, '-c', code], env=environment, check=True)\n"
    )
    run(source)

    spans = {attributes(span.attributes)["shop.item"]: span for span in receiver.spans("shop.basket.add")}
    assert spans["child"].trace_id == spans["parent"].trace_id
    assert spans["child"].parent_span_id == spans["parent"].span_id


def test_a_program_started_beside_a_trace_does_not_join_it(run, receiver):
    run(TRACEPARENT="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    (span,) = receiver.spans("shop.basket.add")
    assert not span.parent_span_id
