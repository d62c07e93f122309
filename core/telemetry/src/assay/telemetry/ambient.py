"""What the running code is part of: the correlation id that events get when nothing closer gives one."""

from __future__ import annotations

from contextvars import ContextVar

correlation_id: ContextVar[str | None] = ContextVar("assay.correlation_id", default=None)
