"""The hooks that every adapter for pools offers."""

from __future__ import annotations

from assay.instrumentation import HookPoint

HOOK_POINTS = (
    HookPoint("request_hook", "ASSAY_SNAKEPIT_REQUEST_HOOK"),
    HookPoint("response_hook", "ASSAY_SNAKEPIT_RESPONSE_HOOK"),
)
