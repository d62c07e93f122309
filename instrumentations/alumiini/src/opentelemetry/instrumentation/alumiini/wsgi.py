"""A WSGI middleware that checks the webhooks of git hosts.

```python
from opentelemetry.instrumentation.alumiini.wsgi import WebhookMiddleware

secrets = {"github": os.environ["GITHUB_WEBHOOK_SECRET"]}
application = WebhookMiddleware(application, secrets, paths=["/hooks"])
```
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from opentelemetry.instrumentation.alumiini.webhook_requests import (
    BODY_LIMIT,
    Webhooks,
    WebhookSignatureError,
)
from opentelemetry.instrumentation.alumiini.webhooks import Provider

Environment: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environment, StartResponse], Iterable[bytes]]


class WebhookMiddleware:
    """Passes requests to the paths of webhooks on only if they are webhooks with a right signature.

    Other requests to these paths are answered with 401, those that are too large with 413, and those without
    a length with 411. Requests to other paths pass unchanged.

    Args:
        application: The WSGI application.
        secrets: The secret of each git host. Webhooks of a host without one are refused.
        paths: The paths that take webhooks, with all paths below them.
    """

    def __init__(
        self, application: Application, secrets: Mapping[Provider, str], *, paths: Iterable[str]
    ) -> None:
        self._application = application
        self._webhooks = Webhooks(secrets, paths)

    def __call__(self, environ: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request (PEP 3333)."""
        if not self._webhooks.takes(str(environ.get("PATH_INFO", ""))):
            return self._application(environ, start_response)
        length = str(environ.get("CONTENT_LENGTH") or "")
        if not length.isdecimal():
            return _answer(start_response, "411 Length Required")
        if int(length) > BODY_LIMIT:
            return _answer(start_response, "413 Content Too Large")
        body: bytes = environ["wsgi.input"].read(int(length))
        try:
            self._webhooks.receive(_headers(environ), body, environ.get("REMOTE_ADDR"))
        except WebhookSignatureError:
            return _answer(start_response, "401 Unauthorized")
        return self._application({**environ, "wsgi.input": io.BytesIO(body)}, start_response)


def _headers(environ: Environment) -> dict[str, str]:
    prefix = "HTTP_"
    return {
        key.removeprefix(prefix).replace("_", "-").lower(): str(value)
        for key, value in environ.items()
        if key.startswith(prefix)
    }


def _answer(start_response: StartResponse, status: str) -> Iterable[bytes]:
    start_response(status, [("Content-Length", "0")])
    return [b""]
