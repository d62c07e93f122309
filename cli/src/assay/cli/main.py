"""The `assay` command. Each public module of this package is a subcommand, imported when it is used.

```console
$ assay --help
$ assay demo
```

Exit status: 0 for success, 1 for an error or a failed check, 2 for wrong usage.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path
from typing import Any

import click

_NOT_A_COMMAND = "main"


class LazyGroup(click.Group):
    """A group that finds a subcommand by its module name and imports no other.

    It prints an error of one of our packages as a message without a traceback, and exits with status 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the public modules of this package."""
        del ctx
        names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
        return sorted(name for name in names if not name.startswith("_") and name != _NOT_A_COMMAND)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the `command` of the module with this name, None if the module does not exist."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"assay.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's signature
        """Run the subcommand; `ASSAY_DEBUG=1` shows the traceback of an error."""
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            error.message = _safe(error.message)  # pyright: ignore[reportAttributeAccessIssue]  the class's own is kept
            raise
        except Exception as error:
            if is_ours(error) and os.environ.get("ASSAY_DEBUG", "0") in ("", "0"):
                raise click.ClickException(_safe(str(error))) from error
            raise


def _safe(message: str) -> str:
    from assay.cli._messages import safe  # noqa: PLC0415  not needed without an error

    return safe(message)


def is_ours(error: BaseException) -> bool:
    """Return whether a package of this suite defines the error's class or one of its base classes."""
    return any(kind.__module__.startswith("assay.") for kind in type(error).__mro__)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="assay", prog_name="assay")
def main() -> None:
    """Audit-grade OpenTelemetry for Python platforms.

    \b
    Example:
      assay demo        run an instrumented application here, and check the data that arrives
      assay doctor      report what would be instrumented here, and which endpoints answer

    ASSAY_DEBUG=1 shows the traceback of an error.
    """
