"""What is Dagster's, or its user's, in type annotations."""

from __future__ import annotations

from typing import Any, TypeAlias

Foreign: TypeAlias = Any
"""An object of Dagster's or of its user's.

Dagster's internals are typed in part only, and this adapter imports nothing of Dagster's before the program
does: its objects are taken as they come."""
