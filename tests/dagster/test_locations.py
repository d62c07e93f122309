"""Code locations, one of which cannot be reached. Dagster stores nothing of them; a webserver shows them."""

import pytest

from assay.instrumentation.testing import free_port, wait_until
from assay.semconv import attributes as keys

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORKSPACE = """
load_from:
- python_module: {module_name: warehouse, location_name: warehouse}
- grpc_server: {host: 127.0.0.1, port: 1, location_name: unreachable}
"""
LOADED, FAILED = "flowstone.code_location.loaded", "flowstone.code_location.failed"


@pytest.fixture(scope="module")
def webserver(tmp_path_factory, deployed):
    """Return the deployment after a webserver has loaded what it can, and has ended by Ctrl-C."""
    root, port = tmp_path_factory.mktemp("locations") / "root", free_port()
    with deployed(root) as deployment:
        workspace = root / "workspace.yaml"
        workspace.write_text(WORKSPACE, encoding="utf-8")
        options = ("-w", str(workspace), "-h", "127.0.0.1", "-p", str(port))
        with deployment.start("dagster-webserver", *options, log="webserver.log") as process:
            try:
                web = deployment.webserver(port)
                wait_until(web.has_jobs, timeout=240, interval=0.2)
                deployment.shown = web.locations()
                deployment.exit = deployment.interrupt(process)
            finally:
                deployment.kill(process)
        deployment.settle()
        yield deployment


def test_code_locations_arrive_as_the_webserver_shows_them(webserver):
    assert webserver.shown == {"warehouse": "RepositoryLocation", "unreachable": "PythonError"}
    arrived = {
        (kind, has[keys.FLOWSTONE_CODE_LOCATION]) for kind, has in webserver.log_events(LOADED, FAILED)
    }
    assert arrived == {(LOADED, "warehouse"), (FAILED, "unreachable")}


def test_the_webserver_ends_by_ctrl_c_without_a_warning_of_us(webserver):
    assert webserver.exit == 0
    assert webserver.complaints() == []
