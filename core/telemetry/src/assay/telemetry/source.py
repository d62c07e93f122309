"""Writes functions out, as `dataclasses` does: what is known beforehand is not asked again at each call.

```python
source = Source("greet", "name")
source.write("say(f'{greeting}, {name}')", say=print, greeting="hello")
greet = source.build()
```

No text from outside becomes code: it is bound to a name, or written as a literal with `!r`.
"""

from __future__ import annotations

import linecache
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import count
from textwrap import dedent
from typing import Any

_numbers = count(1)


class Source:
    """One function, while it is being written.

    Args:
        name: The function's.
        parameters: Their names.
    """

    def __init__(self, name: str, *parameters: str) -> None:
        self._name = name
        self._lines = [f"def {name}({', '.join(parameters)}):"]
        self._depth = 1
        self._bound: dict[str, Any] = {}
        self._names = count()

    def write(self, text: str, **bound: object) -> None:
        """Add lines.

        Args:
            text: The lines; indented as a whole as the caller likes.
            bound: What they call by these names, which are the same in the whole function.
        """
        for name, value in bound.items():
            if self._bound.setdefault(name, value) is not value:
                raise ValueError(f"{name} is bound twice in {self._name}, to different values")
        margin = "    " * self._depth
        self._lines += [margin + line for line in dedent(text).strip("\n").splitlines()]

    def bind(self, hint: str, value: object) -> str:
        """Return a name of its own for a value."""
        name = self.name(hint)
        self._bound[name] = value
        return name

    def name(self, hint: str) -> str:
        """Return a name that nothing else in the function has."""
        return f"{hint}_{next(self._names)}"

    @contextmanager
    def block(self, head: str) -> Generator[None]:
        """Indent what is written meanwhile under `head`, such as `if value is None`."""
        self.write(f"{head}:")
        self._depth += 1
        yield
        self._depth -= 1

    def build(self) -> Callable[..., Any]:
        """Return the function. A traceback shows its lines."""
        text = "\n".join([*self._lines, ""])
        file = f"<assay.telemetry {self._name} {next(_numbers)}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), self._bound)  # noqa: S102 - what the docstring says of text from outside
        return self._bound[self._name]
