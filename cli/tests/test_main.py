"""The command line: names, help, errors, exit status."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from assay.cli._collector.errors import CollectorError
from assay.cli.main import main


def commands(command: click.Command, *path: str) -> list[tuple[str, ...]]:
    if not isinstance(command, click.Group):
        return [path]
    context = click.Context(command)
    inner = {name: command.get_command(context, name) for name in command.list_commands(context)}
    return [path, *(leaf for name, each in inner.items() for leaf in commands(each, *path, name))]


def test_every_command_has_help_with_an_example():
    for path in commands(main):
        result = CliRunner().invoke(main, [*path, "--help"])
        assert result.exit_code == 0, path
        _, _, example = result.output.partition("Example")
        assert f"assay {' '.join(path)}".strip() in example, path


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["collector", "run", "nonsense"]])
def test_wrong_usage_exits_2(arguments):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert "nonsense" in result.output


def test_version():
    result = CliRunner().invoke(main, ["--version"])
    assert result.output.startswith("assay, version ")


def test_importing_the_command_imports_no_subcommand_and_no_large_library():
    code = "import sys, assay.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("assay.")}
    assert ours == {"assay.cli", "assay.cli.main"}
    assert not loaded & {"opentelemetry", "pydantic", "rich", "yaml", "grpc", "requests"}


def test_an_error_of_our_packages_is_one_message(bare):
    result = CliRunner().invoke(main, ["collector", "run"])
    assert result.exit_code == 1
    assert result.output == "Error: all-in-one needs ASSAY_AUDIT_TOKEN: set and export it\n"


def test_debugging_raises_the_error(bare, monkeypatch):
    monkeypatch.setenv("ASSAY_DEBUG", "1")
    result = CliRunner().invoke(main, ["collector", "run"])
    assert isinstance(result.exception, CollectorError)


def test_another_packages_error_is_not_hidden(monkeypatch):
    @click.command()
    def broken() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(type(main), "get_command", lambda *_: broken)
    assert isinstance(CliRunner().invoke(main, ["broken"]).exception, ZeroDivisionError)
