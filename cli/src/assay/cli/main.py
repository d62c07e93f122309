"""The `assay` command: each public module beside this one is a command, imported when it is used.

```console
$ assay --help
$ assay demo
```

Exit status: 0 when all is well, 1 when it failed or what was checked does not hold, 2 for wrong usage.
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
    """Finds its commands by module name, so that starting one imports no other.

    An error of one of our packages becomes one message without a traceback, and exit status 1.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the public modules of this package."""
        del ctx
        names = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
        return sorted(name for name in names if not name.startswith("_") and name != _NOT_A_COMMAND)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` of the module of that name, None if there is no such module."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"assay.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401  click's signature
        """Runs the command; `ASSAY_DEBUG=1` shows the traceback of an error."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            if is_ours(error) and os.environ.get("ASSAY_DEBUG", "0") in ("", "0"):
                raise click.ClickException(str(error)) from error
            raise


def is_ours(error: BaseException) -> bool:
    """Whether a package of this suite raised it to be read: its class, or a base of it, is defined there."""
    return any(kind.__module__.startswith("assay.") for kind in type(error).__mro__)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="assay", prog_name="assay")
def main() -> None:
    """Audit-grade OpenTelemetry for Python platforms.

    \b
    Example:
      assay demo        the whole way of a fact, on this machine
      assay doctor      what would be instrumented here, and what can be reached

    ASSAY_DEBUG=1 shows the traceback of an error.
    """
