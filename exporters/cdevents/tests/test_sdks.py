"""The official SDKs of CloudEvents read what the HTTP sink sends.

`test_go_sdk` runs the Go SDK of CDEvents. In binary mode neither SDK decodes an attribute beyond ASCII,
which the HTTP binding (section 3.1.3.2) percent-encodes; the attributes here are ASCII.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess

import pytest
from cloudevents.v1.http import from_http

from assay.exporters.cdevents._http_sink import HTTPSettings, HTTPSink
from assay.exporters.cdevents._outbox import OutboxEntry
from assay.exporters.cdevents.cloudevents import envelope

EVENT = {
    "context": {
        "specversion": "0.5.1", "id": "1", "source": "/a", "type": "dev.cdevents.taskrun.started.0.3.0",
        "timestamp": "2026-01-01T00:00:00Z",
        "links": [{"linkType": "PATH", "from": {"contextId": "0"}, "tags": {}}],
    },
    "subject": {"id": "run/1", "content": {"taskName": "é"}},
}  # fmt: skip
TRACEPARENT = f"00-{'1' * 32}-{'2' * 16}-01"
ENTRY = OutboxEntry("s", "1", "t", "x", "", json.dumps(envelope(EVENT, TRACEPARENT), ensure_ascii=False))
JAVASCRIPT = "cloudevents@10.0.0"
READER = """
const { HTTP } = require("cloudevents");
const { headers, body } = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(HTTP.toEvent({ headers, body })));
"""


@pytest.fixture(params=["structured", "binary"])
def sent(request, endpoint):
    """The headers and the body that the sink sends in a mode."""
    sink = HTTPSink(HTTPSettings(type="http", url=endpoint.url, mode=request.param, timeout=5))
    sink.send([ENTRY])
    sink.close()
    [message] = endpoint.accepted
    return message


@pytest.fixture(scope="session")
def javascript(tmp_path_factory):
    """A folder with the JavaScript SDK."""
    folder = tmp_path_factory.mktemp("javascript")
    npm = shutil.which("npm")
    install = ["install", "--no-audit", "--no-fund", "--ignore-scripts", JAVASCRIPT]
    if npm is None or subprocess.run([npm, *install], cwd=folder, check=False, timeout=300).returncode:
        missing = f"npm cannot install {JAVASCRIPT}"
        if os.environ.get("ASSAY_REQUIRE_SERVICES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return folder


def assert_is_the_event(attributes, data):
    assert data == EVENT
    assert {name: attributes[name] for name in ("id", "source", "type", "subject", "traceparent")} == {
        "id": "1",
        "source": "/a",
        "type": "dev.cdevents.taskrun.started.0.3.0",
        "subject": "run/1",
        "traceparent": TRACEPARENT,
    }


def test_the_python_sdk_reads_what_is_sent(sent):
    headers, body = sent
    event = from_http(headers, body)
    assert_is_the_event(event, event.data)


@pytest.mark.slow
def test_the_javascript_sdk_reads_what_is_sent(sent, javascript):
    headers, body = sent
    message = json.dumps({"headers": headers, "body": body.decode()})
    done = subprocess.run(
        ["node", "-e", READER],
        input=message,
        capture_output=True,
        check=False,
        text=True,
        cwd=javascript,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    event = json.loads(done.stdout)
    assert_is_the_event(event, event["data"])
