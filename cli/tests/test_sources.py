"""The sources of a Collector: their order, and the messages if none has one."""

from __future__ import annotations

import pytest

from assay.cli._collector.cache import cached_binary
from assay.cli._collector.errors import CollectorError, CollectorNotFoundError
from assay.cli._collector.sources import PRESENT, find_collector


def test_assay_collector_overrides_all_other_sources(bare, program, monkeypatch, tmp_path):
    named = program(tmp_path / "named")
    program(cached_binary())
    program(bare / "otelcol-contrib")
    monkeypatch.setenv("ASSAY_COLLECTOR", str(named))
    found = find_collector()
    assert (found.path, found.source, found.version) == (named, "env", "0.152.0")


def test_the_cache_is_tried_before_path(bare, program):
    cached = program(cached_binary())
    program(bare / "otelcol-contrib")
    found = find_collector()
    assert (found.path, found.source) == (cached, "cache")


def test_otelcol_contrib_on_path_is_used_if_it_has_all_components(bare, program):
    installed = program(bare / "otelcol-contrib", version="0.153.0")
    found = find_collector()
    assert (found.path, found.source, found.version) == (installed, "path", "0.153.0")


def test_otelcol_contrib_without_a_needed_component_is_skipped(bare, program, needed):
    program(bare / "otelcol-contrib", needed - {"exporters/otlp_grpc"})
    with pytest.raises(CollectorNotFoundError, match="lacks exporters/otlp_grpc"):
        find_collector()


def test_without_a_collector_the_error_names_the_five_ways_in_order(bare):
    with pytest.raises(CollectorNotFoundError) as caught:
        find_collector("require")
    ways = ["ASSAY_COLLECTOR", "assay collector build", "otelcol-contrib 0.152.0", "install Go", "Docker"]
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 5
    for line, way in zip(lines, ways, strict=True):
        assert way in line


def test_auto_reports_the_reasons(bare):
    reported: list[str] = []
    assert find_collector("auto", report=reported.append) is None
    assert "no OpenTelemetry Collector is available" in reported[-1]


def test_none_does_not_search(bare, program):
    program(cached_binary())
    assert find_collector("none") is None


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_an_unusable_assay_collector_is_an_error(bare, program, monkeypatch, tmp_path, mode):
    program(bare / "otelcol-contrib")
    monkeypatch.setenv("ASSAY_COLLECTOR", str(tmp_path / "missing"))
    with pytest.raises(CollectorError, match=r"ASSAY_COLLECTOR=.*missing.*cannot be run"):
        find_collector(mode)


def test_a_program_that_is_not_a_collector_is_named(bare, monkeypatch):
    monkeypatch.setenv("ASSAY_COLLECTOR", "/bin/true")
    with pytest.raises(CollectorError, match="/bin/true is not an OpenTelemetry Collector"):
        find_collector()


def test_a_failed_build_gives_the_reason_and_leaves_no_files(bare):
    go = bare / "go"
    go.write_text("#!/bin/sh\necho 'go: no such host proxy.example' >&2\nexit 1\n")
    go.chmod(0o755)
    reported: list[str] = []
    with pytest.raises(CollectorNotFoundError, match=r"no such host proxy\.example"):
        find_collector(report=reported.append)
    assert "takes minutes" in reported[0]
    assert [path.name for path in cached_binary().parent.iterdir()] == ["lock"]


def test_the_fast_sources_do_not_build(bare):
    (bare / "go").write_text("#!/bin/sh\nexit 1\n")
    (bare / "go").chmod(0o755)
    with pytest.raises(CollectorNotFoundError):
        find_collector(sources=PRESENT)
    assert not cached_binary().parent.exists()
