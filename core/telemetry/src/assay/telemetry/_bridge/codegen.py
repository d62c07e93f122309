"""Generate functions as source text, as `dataclasses` does: constants are resolved once, not at each call.

```python
source = Source("greet", "name")
source.write("say(f'{greeting}, {name}')", say=print, greeting="hello")
greet = source.build()
```

Several writers contribute to one function. A writer states the variables of others that it reads with `use`,
the variables that it makes for others with `define`, and takes its temporaries from `name`; a name that two
writers would share unknowingly is an error when the function is generated.

Text from a registry never becomes code: it is bound to a name, or written as a literal with `literal`.
"""

from __future__ import annotations

import linecache
import math
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from textwrap import dedent
from typing import Any

_numbers = count(1)


class CodegenError(Exception):
    """Two writers of one function contradict each other: a mistake of this package."""


class Source:
    """One function under construction.

    Args:
        name: The function's name.
        parameters: Names of its parameters.
    """

    def __init__(self, name: str, *parameters: str) -> None:
        self._name = name
        self._lines = [f"def {name}({', '.join(parameters)}):"]
        self._depth = 1
        self._bound: dict[str, Any] = {}
        self._variables = {name, *parameters}
        self._names = count()

    def use(self, *names: str) -> None:
        """Declare that a writer reads these variables.

        Raises:
            CodegenError: One is not defined.
        """
        missing = [name for name in names if name not in self._variables]
        if missing:
            raise CodegenError(f"{self._name} has no variable {', '.join(missing)} yet")

    def define(self, *names: str) -> None:
        """Declare that a writer makes these variables for others.

        Raises:
            CodegenError: One is already defined or bound.
        """
        taken = [name for name in names if name in self._variables or name in self._bound]
        if taken:
            raise CodegenError(f"{', '.join(taken)} is defined twice in {self._name}")
        self._variables.update(names)

    def write(self, text: str, /, **bound: object) -> None:
        """Add lines.

        Args:
            text: The lines; their common indentation is removed.
            bound: Objects that the lines refer to by these names, which are global to the function.

        Raises:
            CodegenError: A name is bound to another object, or is a variable.
        """
        for name, value in bound.items():
            if name in self._variables or self._bound.setdefault(name, value) is not value:
                raise CodegenError(f"{name} is defined twice in {self._name}")
        margin = "    " * self._depth
        self._lines += [margin + line if line else "" for line in dedent(text).strip("\n").splitlines()]

    def bind(self, hint: str, value: object) -> str:
        """Bind an object to a new name; return the name."""
        name = self.name(hint)
        self._bound[name] = value
        return name

    def name(self, hint: str) -> str:
        """Return a name that is not used elsewhere in the function."""
        return f"{hint}_{next(self._names)}"

    def literal(self, value: object) -> str:
        """Return an expression for a constant: its literal, or a name where it has none (inf, nan)."""
        if isinstance(value, float) and not math.isfinite(value):
            return self.bind("constant", value)
        return repr(value)

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Indent the lines that are written inside under `head`, such as `if value is None`."""
        self.write(f"{head}:")
        first = len(self._lines)
        self._depth += 1
        yield
        if len(self._lines) == first:
            self.write("pass")
        self._depth -= 1

    def build(self) -> Callable[..., Any]:
        """Compile the function. Tracebacks and `inspect.getsource` show its lines as long as it exists."""
        text = "\n".join([*self._lines, ""])
        file = f"<assay.telemetry {self._name} {next(_numbers)}>"
        exec(compile(text, file, "exec"), self._bound)  # noqa: S102 - see the module's last paragraph
        # Without the name in its own globals, the function is freed as soon as its handler is detached.
        function: Callable[..., Any] = self._bound.pop(self._name)
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        weakref.finalize(function, linecache.cache.pop, file, None).atexit = False
        return function
