"""`assay serve` checks its configuration file and names the faults."""

import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from assay.cli.serve import command

VALID = """\
listeners: [{name: direct, protocol: http, address: "127.0.0.1:0"}]
exporters: {lines: {type: otlp-lines, path: lines.jsonl}}
"""


def run(*arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_check_reports_a_valid_file_and_starts_no_exporter(tmp_path):
    (tmp_path / "host.yaml").write_text(VALID)
    result = run("--config", tmp_path / "host.yaml", "--check")
    assert result.exit_code == 0
    assert "1 listeners, exporters lines: valid" in result.output
    assert not (tmp_path / "lines.jsonl").exists()


def test_a_wrong_key_is_named_and_the_exit_status_is_1(tmp_path):
    (tmp_path / "host.yaml").write_text(VALID.replace("path", "paht"))
    result = run("--config", tmp_path / "host.yaml", "--check")
    assert result.exit_code == 1
    assert "exporters.lines.paht: unknown key; did you mean 'path'?" in result.output


def test_a_module_beside_the_file_is_found_as_typed(tmp_path):
    (tmp_path / "own_exporter.py").write_text(
        "class Own:\n"
        "    signals = frozenset({'traces'})\n"
        "    def export(self, batch): ...\n"
        "    def shutdown(self): ...\n"
    )
    (tmp_path / "host.yaml").write_text(
        VALID.replace("{type: otlp-lines, path: lines.jsonl}", "{type: 'own_exporter:Own'}")
    )
    done = subprocess.run(
        [Path(sys.executable).with_name("assay"), "serve", "--config", "host.yaml", "--check"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "exporters lines: valid" in done.stdout


def test_wrong_usage_is_2_and_help_has_an_example():
    assert run().exit_code == 2
    assert "Example: assay serve --config host.yaml" in run("--help").output
