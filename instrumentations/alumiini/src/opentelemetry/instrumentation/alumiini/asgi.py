"""An ASGI middleware that checks the webhooks of git hosts.

```python
from opentelemetry.instrumentation.alumiini.asgi import WebhookMiddleware

app = WebhookMiddleware(app, {"github": os.environ["GITHUB_WEBHOOK_SECRET"]}, paths=["/hooks"])
```
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

from opentelemetry.instrumentation.alumiini.webhook_requests import (
    BODY_LIMIT,
    Webhooks,
    WebhookSignatureError,
)
from opentelemetry.instrumentation.alumiini.webhooks import Provider

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Any, Receive, Send], Awaitable[None]]


class WebhookMiddleware:
    """Passes requests to the paths of webhooks on only if they are webhooks with a right signature.

    Other requests to these paths are answered with 401, and those that are too large with 413. Requests to
    other paths pass unchanged.

    Args:
        app: The ASGI application.
        secrets: The secret of each git host. Webhooks of a host without one are refused.
        paths: The paths that take webhooks, with all paths below them.
    """

    def __init__(self, app: App, secrets: Mapping[Provider, str], *, paths: Iterable[str]) -> None:
        self._app = app
        self._webhooks = Webhooks(secrets, paths)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:  # noqa: ANN401 - ASGI's
        """Serve one connection (ASGI specification, "Applications")."""
        if scope["type"] != "http" or not self._webhooks.takes(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        if body is None:
            await _answer(send, 413)
            return
        client = scope.get("client")
        try:
            self._webhooks.receive(_headers(scope), body, client[0] if client else None)
        except WebhookSignatureError:
            await _answer(send, 401)
            return
        await self._app(scope, _replay(body, receive), send)


def _headers(scope: Any) -> dict[str, str]:  # noqa: ANN401 - ASGI's
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())
    }


async def _read(receive: Receive) -> bytes | None:
    """Return the body; None if it is too large, or its sender has gone."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > BODY_LIMIT:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that returns the body first, and then what the server sends."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay


async def _answer(send: Send, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
