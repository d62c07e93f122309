"""Webhooks of git hosts: the host that sent one, its signature, and the repository that it is about.

- GitHub, "Validating webhook deliveries": `X-Hub-Signature-256`, HMAC-SHA256 of the body.
- Bitbucket, "Manage webhooks": `X-Hub-Signature`, HMAC-SHA256 of the body.
- GitLab, "Webhooks", "Validate payloads": `X-Gitlab-Token`, the secret itself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from typing import cast

from opentelemetry.instrumentation.alumiini.errors import AlumiiniError, error
from opentelemetry.instrumentation.alumiini.repositories import UNKNOWN, Repository, name_of
from opentelemetry.instrumentation.alumiini.webhooks import Provider, webhook_received

from assay.instrumentation import guarded

BODY_LIMIT = 25 * 1024 * 1024
"""Bytes of a webhook that are accepted: GitHub sends no more."""

_EVENTS: Mapping[str, Provider] = {
    "x-github-event": "github",
    "x-gitlab-event": "gitlab",
    "x-event-key": "bitbucket",
}
_SIGNATURES = {"github": "x-hub-signature-256", "bitbucket": "x-hub-signature"}
_HEADS = "refs/heads/"


class WebhookSignatureError(AlumiiniError):
    """The signature of a webhook is wrong, or no secret is known for its sender."""


class Webhooks:
    """Checks the webhooks of git hosts and reports them.

    Args:
        secrets: The secret of each host. A host without one is refused.
        paths: The paths that take webhooks, with all paths below them.
    """

    def __init__(self, secrets: Mapping[Provider, str], paths: Iterable[str]) -> None:
        self._paths = tuple(f"{path.rstrip('/')}/" for path in paths)
        self._secrets = {provider: secret.encode() for provider, secret in secrets.items() if secret}

    def takes(self, path: str) -> bool:
        """Return whether requests to a path must be webhooks."""
        return f"{path}/".startswith(self._paths)

    def receive(self, headers: Mapping[str, str], body: bytes, client_ip: str | None) -> None:
        """Check a webhook, and report it as received or refused.

        Args:
            headers: Its headers, with names in lower case.
            body: Its body.
            client_ip: Address of the sender.

        Raises:
            WebhookSignatureError: It is refused: its signature is wrong, or no known host sent it.
        """
        provider = provider_of(headers)
        if provider is None:
            message = "the request is not a webhook of a known git host"
            error("webhook_signature", message, repository=Repository(UNKNOWN))
            raise WebhookSignatureError(message)
        agent = headers.get("user-agent")
        try:
            verify(provider, self._secrets.get(provider, b""), headers, body)
        except WebhookSignatureError as refused:
            # Nobody vouches for the body, so the repository that it names is not used.
            unknown = Repository(UNKNOWN)
            webhook_received(
                provider, repository=unknown, outcome="failure", client_ip=client_ip, user_agent=agent
            )
            error("webhook_signature", str(refused), repository=unknown)
            raise
        about = _repository_of(body) or Repository(UNKNOWN)
        webhook_received(provider, repository=about, client_ip=client_ip, user_agent=agent)


def provider_of(headers: Mapping[str, str]) -> Provider | None:
    """Return the git host that sent a request; None if it is not a webhook of one.

    Args:
        headers: Its headers, with names in lower case.
    """
    return next((provider for header, provider in _EVENTS.items() if header in headers), None)


def verify(provider: Provider, secret: bytes, headers: Mapping[str, str], body: bytes) -> None:
    """Check the signature of a webhook in constant time.

    Args:
        provider: The git host.
        secret: The secret that is agreed with it; empty if there is none.
        headers: The headers, with names in lower case.
        body: The body.

    Raises:
        WebhookSignatureError: The signature is wrong or missing, or there is no secret.
    """
    if not secret:
        raise WebhookSignatureError(f"no secret is configured for {provider}")
    if provider == "gitlab":
        expected, given = secret, headers.get("x-gitlab-token", "")
    else:
        expected = b"sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
        given = headers.get(_SIGNATURES[provider], "")
    if not hmac.compare_digest(expected, given.encode("utf-8", "surrogateescape")):
        raise WebhookSignatureError(f"the signature of a webhook of {provider} is wrong")


@guarded
def _repository_of(body: bytes) -> Repository | None:
    """Return the repository, branch and revision of a push, as far as the payload names them."""
    try:
        payload: object = json.loads(body)
    except ValueError:
        return None
    about = _part(payload, "repository") or _part(payload, "project")
    project = _part(payload, "project")  # GitLab's URL is there
    url = _text(about, "clone_url") or _text(project, "git_http_url") or _text(about, "git_http_url")
    url = url or _text(_part(_part(about, "links"), "html"), "href")
    name = _text(about, "name") or (name_of(url) if url else None)
    if name is None:
        return None
    branch, commit = _text(payload, "ref"), _text(payload, "after")
    changes = _part(payload, "push").get("changes")
    if isinstance(changes, list) and changes:
        new = _part(cast("list[object]", changes)[0], "new")
        branch, commit = _text(new, "name"), _text(_part(new, "target"), "hash")
    return Repository(name, url, branch.removeprefix(_HEADS) if branch else None, commit)


def _part(value: object, key: str) -> Mapping[str, object]:
    found = cast("Mapping[str, object]", value).get(key) if isinstance(value, Mapping) else None
    return cast("Mapping[str, object]", found) if isinstance(found, Mapping) else {}


def _text(value: object, key: str) -> str | None:
    found = cast("Mapping[str, object]", value).get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, str) and found else None
