"""Who asks Dagster for something: the user of a request to the webserver, or of a command.

Dagster's open-source edition knows no users. A deployment with a proxy that authenticates users names the
header that carries the user in `ASSAY_DAGSTER_USER_HEADER`. If the header carries a JSON Web Token, a claim
of it is named in `ASSAY_DAGSTER_USER_CLAIM`; the proxy has verified the token. Without the first setting the
user of a request is unknown: a client could write any header.
"""

from __future__ import annotations

import base64
import getpass
import json
import os
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from assay.instrumentation import AsyncCall, Foreign, guarded

HEADER_VARIABLE, CLAIM_VARIABLE = "ASSAY_DAGSTER_USER_HEADER", "ASSAY_DAGSTER_USER_CLAIM"
ACTOR_TAG = "assay/actor"
"""Carries the user who requested a run to the processes that execute it."""
_COMMANDS = {("job", "execute"), ("job", "launch"), ("job", "backfill"), ("asset", "materialize")}
_request: ContextVar[Mapping[str, Any] | None] = ContextVar("assay_dagster_request", default=None)


async def serve(call: AsyncCall) -> Foreign:
    """Wrap `GraphQLServer.execute_graphql_request`: what happens inside has its requester."""
    token = _request.set(_described(call.argument("request")) or {})
    try:
        return await call()
    finally:
        _request.reset(token)


def requester() -> dict[str, Any]:
    """Return the metadata `actor`, `actor_type`, `client_ip` and `user_agent`, as far as they are known."""
    request = _request.get()
    if request is not None:
        return dict(request)
    user = _user_of_command()
    return {} if user is None else {"actor": user, "actor_type": "user"}


@guarded
def _described(request: Foreign) -> dict[str, Any]:
    user = _user_of(request.headers)
    described = {
        "actor": user,
        "actor_type": None if user is None else "user",
        "client_ip": request.client.host if request.client else None,
        "user_agent": request.headers.get("user-agent"),
    }
    return {key: value for key, value in described.items() if value}


def _user_of(headers: Mapping[str, str]) -> str | None:
    header, claim = os.environ.get(HEADER_VARIABLE, ""), os.environ.get(CLAIM_VARIABLE, "")
    value = headers.get(header) if header else None
    if not value or not claim:
        return value or None
    try:
        payload = value.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return str(claims[claim])
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def _user_of_command() -> str | None:
    """Return the operating system's user, if this process is a command with which a user starts runs."""
    if Path(sys.argv[0]).stem != "dagster" or tuple(sys.argv[1:3]) not in _COMMANDS:
        return None
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # the user has no name
        return str(os.getuid()) if hasattr(os, "getuid") else None
