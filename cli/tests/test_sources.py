"""Where a Collector comes from, in which order, and what is said when there is none."""

from __future__ import annotations

import pytest

from assay.cli._collector.cache import cached_binary
from assay.cli._collector.errors import CollectorError, CollectorNotFoundError
from assay.cli._collector.sources import PRESENT, find_collector


def test_the_named_one_comes_before_all_others(bare, program, monkeypatch, tmp_path):
    mine = program(tmp_path / "mine")
    program(cached_binary())
    program(bare / "otelcol-contrib")
    monkeypatch.setenv("ASSAY_COLLECTOR", str(mine))
    found = find_collector()
    assert (found.path, found.source, found.version) == (mine, "env", "0.152.0")


def test_the_cache_comes_before_the_path(bare, program):
    cached = program(cached_binary())
    program(bare / "otelcol-contrib")
    found = find_collector()
    assert (found.path, found.source) == (cached, "cache")


def test_otelcol_contrib_on_path_is_taken_if_it_has_everything(bare, program):
    installed = program(bare / "otelcol-contrib", version="0.153.0")
    found = find_collector()
    assert (found.path, found.source, found.version) == (installed, "path", "0.153.0")


def test_otelcol_contrib_that_lacks_a_component_is_passed_over(bare, program, needed):
    program(bare / "otelcol-contrib", needed - {"exporters/otlp_grpc"})
    with pytest.raises(CollectorNotFoundError, match="lacks exporters/otlp_grpc"):
        find_collector()


def test_none_names_the_five_ways_in_order(bare):
    with pytest.raises(CollectorNotFoundError) as caught:
        find_collector("require")
    ways = ["ASSAY_COLLECTOR", "assay collector build", "otelcol-contrib 0.152.0", "install Go", "Docker"]
    lines = str(caught.value).splitlines()[1:]
    assert len(lines) == 5
    for line, way in zip(lines, ways, strict=True):
        assert way in line


def test_auto_says_why_there_is_none(bare):
    said: list[str] = []
    assert find_collector("auto", report=said.append) is None
    assert "no OpenTelemetry Collector could be had" in said[-1]


def test_none_does_not_look(bare, program):
    program(cached_binary())
    assert find_collector("none") is None


@pytest.mark.parametrize("mode", ["auto", "require"])
def test_a_named_one_that_will_not_do_is_an_error(bare, program, monkeypatch, tmp_path, mode):
    program(bare / "otelcol-contrib")
    monkeypatch.setenv("ASSAY_COLLECTOR", str(tmp_path / "missing"))
    with pytest.raises(CollectorError, match=r"ASSAY_COLLECTOR=.*missing.*cannot be run"):
        find_collector(mode)


def test_a_program_that_is_no_collector_is_named(bare, monkeypatch):
    monkeypatch.setenv("ASSAY_COLLECTOR", "/bin/true")
    with pytest.raises(CollectorError, match="/bin/true does not answer `components`"):
        find_collector()


def test_a_failed_build_gives_the_reason_and_leaves_nothing(bare):
    go = bare / "go"
    go.write_text("#!/bin/sh\necho 'go: no such host proxy.example' >&2\nexit 1\n")
    go.chmod(0o755)
    said: list[str] = []
    with pytest.raises(CollectorNotFoundError, match=r"no such host proxy\.example"):
        find_collector(report=said.append)
    assert "takes minutes" in said[0]
    assert [path.name for path in cached_binary().parent.iterdir()] == ["lock"]


def test_what_is_present_is_found_without_making_one(bare):
    (bare / "go").write_text("#!/bin/sh\nexit 1\n")
    (bare / "go").chmod(0o755)
    with pytest.raises(CollectorNotFoundError):
        find_collector(sources=PRESENT)
    assert not cached_binary().parent.exists()
