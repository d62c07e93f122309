"""The page about writing an exporter shows the file in the package, and its examples run."""

import re
import resource
import sys
from pathlib import Path

import pytest
import requests
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

import assay.host.otlp_lines
from assay.host import otlp_json
from assay.host._config import load_config

from .conftest import http, running, traces

PAGE = Path(__file__).parents[3] / "docs/how-to/write-an-exporter.md"
PROTOBUF = {"content-type": "application/x-protobuf"}


@pytest.fixture
def blocks():
    if not PAGE.exists():
        pytest.skip("the docs are not beside this package")
    return dict(re.findall(r'```\w+ title="([^"]+)"\n(.*?)```', PAGE.read_text(), flags=re.DOTALL))


def test_the_page_shows_the_packaged_file(blocks):
    assert blocks["otlp_lines.py"] == Path(assay.host.otlp_lines.__file__).read_text()


def test_the_examples_of_the_page_run(blocks, tmp_path, monkeypatch):
    (tmp_path / "otlp_lines.py").write_text(blocks["otlp_lines.py"])
    (tmp_path / "host.yaml").write_text(blocks["host.yaml"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "otlp_lines", raising=False)
    assert [listener.peer for listener in load_config("host.yaml").listeners] == ["collector", "direct"]
    exporters = yaml.safe_load(blocks["host.yaml"])["exporters"]
    with running({"listeners": [http()], "exporters": exporters}) as host:
        for count in (1, 2):
            body = traces(count).SerializeToString()
            assert (
                requests.post(host.url("/v1/traces"), data=body, headers=PROTOBUF, timeout=30).status_code
                == 200
            )
    lines = Path("traces.jsonl").read_bytes().splitlines()
    assert [otlp_json.decode(line, ExportTraceServiceRequest, 64) for line in lines] == [traces(1), traces(2)]


def test_a_full_disk_leaves_no_incomplete_line(tmp_path):
    file = tmp_path / "lines.jsonl"

    def send(host, count):
        body = traces(count).SerializeToString()
        return requests.post(host.url("/v1/traces"), data=body, headers=PROTOBUF, timeout=30)

    with running(
        {"listeners": [http()], "exporters": {"lines": {"type": "otlp-lines", "path": file}}}
    ) as host:
        assert send(host, 1).status_code == 200
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
        try:
            full = send(host, 20_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert full.status_code == 503
        assert f"cannot write to {file}: File too large".encode() in full.content
        assert send(host, 2).status_code == 200
    lines = file.read_bytes().splitlines()
    assert [otlp_json.decode(line, ExportTraceServiceRequest, 64) for line in lines] == [traces(1), traces(2)]


def test_an_incomplete_last_line_is_removed_at_the_start(tmp_path):
    file = tmp_path / "lines.jsonl"
    whole = otlp_json.encode(traces(1)) + b"\n"
    for left in (b"", whole, whole + whole[:40], whole[:40]):
        file.write_bytes(left)
        config = {"listeners": [http()], "exporters": {"lines": {"type": "otlp-lines", "path": file}}}
        with running(config) as host:
            body = traces(2).SerializeToString()
            assert requests.post(host.url("/v1/traces"), body, headers=PROTOBUF, timeout=30).ok
        lines = file.read_bytes().splitlines()
        found = [otlp_json.decode(line, ExportTraceServiceRequest, 64) for line in lines]
        assert found == [traces(1)] * left.count(b"\n") + [traces(2)]
