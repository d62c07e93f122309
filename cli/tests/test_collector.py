"""`assay collector`, with programs that imitate a Collector; tests/collector runs the real one."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from assay.cli._collector.cache import cached_binary
from assay.cli._collector.files import COMPOSITIONS
from assay.cli.main import main


def run(*arguments: str):
    return CliRunner().invoke(main, ["collector", *arguments])


def test_path_prints_the_collector_that_would_be_used(bare, program):
    installed = program(bare / "otelcol-contrib")
    assert run("path").output == f"{installed}\n"


def test_path_without_a_collector_exits_1(bare):
    result = run("path")
    assert result.exit_code == 1
    assert "no OpenTelemetry Collector is available" in result.output


def test_build_uses_the_cached_binary(bare, program):
    cached = program(cached_binary())
    (bare / "go").write_text("#!/bin/sh\nexit 1\n")
    (bare / "go").chmod(0o755)
    result = run("build")
    assert (result.exit_code, result.stdout) == (0, f"{cached}\n")


def test_build_without_go_names_its_download_page(bare):
    result = run("build")
    assert result.exit_code == 1
    assert "https://go.dev/dl" in result.output


def test_validate_names_each_composition_and_its_files(bare, program):
    program(bare / "otelcol-contrib")
    result = run("validate")
    assert result.exit_code == 0
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == list(COMPOSITIONS)
    assert "gateway: valid (base.yaml + redaction.yaml + gateway.yaml)" in result.stdout


def test_a_failed_validation_exits_1_with_the_collectors_message(bare, program, tmp_path):
    rejecting = program(bare / "otelcol-contrib")
    rejection = '[ "$1" = validate ] && { echo "Error: exporters::x: wrong" >&2; exit 1; }'
    rejecting.write_text(rejecting.read_text().replace("#!/bin/sh", f"#!/bin/sh\n{rejection}"))
    mine = tmp_path / "mine.yaml"
    mine.write_text("exporters: {}\n")
    result = run("validate", "gateway", "--config", str(mine))
    assert result.exit_code == 1
    assert (
        f"gateway: invalid (base.yaml + redaction.yaml + gateway.yaml + {mine})\nexporters::x: wrong"
        in result.output
    )


@pytest.mark.parametrize("name", [name for name, each in COMPOSITIONS.items() if each.required])
def test_run_names_the_missing_variable(bare, monkeypatch, name):
    for variable in COMPOSITIONS[name].required:
        monkeypatch.delenv(variable, raising=False)
    result = run("run", name)
    assert result.exit_code == 1
    for variable in COMPOSITIONS[name].required:
        assert variable in result.output
