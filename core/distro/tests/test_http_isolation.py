"""Exports are separate from the application's HTTP traffic."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow

WITH_RESPONSES = """
import requests, responses
from assay.distro import flush
from assay.telemetry import execute, span

with responses.RequestsMock() as mock:
    mock.get("http://example.test/", body="mocked")
    with span("flowstone.materialization", asset="orders", run_id="r"):
        print(requests.get("http://example.test/").text)
    execute("flowstone.checkpoint.approved", None, {"approval_id": "a1", "checkpoint": "c"})
    print(flush(10), len(mock.calls))
"""

WITH_VCRPY = """
import vcr
from assay.distro import flush
from assay.telemetry import execute, span

with vcr.use_cassette("cassette.yaml", record_mode="all") as cassette:
    with span("flowstone.materialization", asset="orders", run_id="r"):
        pass
    execute("flowstone.checkpoint.approved", None, {"approval_id": "a1", "checkpoint": "c"})
    print(flush(10), len(cassette))
"""

LOGGING = """
import logging, requests, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(name)s")
from assay.distro import flush
from assay.telemetry import execute, span

with span("flowstone.materialization", asset="orders", run_id="r"):
    pass
execute("flowstone.checkpoint.approved", None, {"approval_id": "a1", "checkpoint": "c"})
flush(10)
print("exported")
print(logging.getLogger("urllib3.connectionpool").level)
try:
    requests.get("http://127.0.0.1:1/")
except requests.ConnectionError:
    print("own request failed")
"""


@pytest.mark.parametrize(
    ("program", "printed"), [(WITH_RESPONSES, "mocked\nTrue 1\n"), (WITH_VCRPY, "True 0\n")]
)
def test_mocks_of_the_application_do_not_intercept_exports(instrumented, receiver, program, printed):
    done = instrumented(program)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
    assert len(receiver.spans()) == 1
    assert len(receiver.logs("/v1/audit")) == 1
    assert receiver.metrics()


def test_exports_are_not_logged_and_the_applications_requests_are(instrumented):
    done = instrumented(LOGGING)
    before, _, after = done.stdout.partition("exported\n")
    assert "urllib3" not in before
    assert after.splitlines() == ["0", "urllib3.connectionpool", "own request failed"]
