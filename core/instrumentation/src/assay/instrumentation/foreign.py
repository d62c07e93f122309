"""The type annotation of objects that belong to the instrumented library."""

from __future__ import annotations

from typing import Any, TypeAlias

Foreign: TypeAlias = Any
"""An object of the instrumented library or of its user.

Most libraries type their internals in part only, and an instrumentation imports nothing of its library before
the program does. So their objects have no type here.
"""
