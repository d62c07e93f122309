"""Webhooks: `alumiini.webhook_received`."""

from __future__ import annotations

from typing import Literal, TypeAlias

from opentelemetry.instrumentation.alumiini.errors import as_repository
from opentelemetry.instrumentation.alumiini.events import Outcome, emit, envelope
from opentelemetry.instrumentation.alumiini.repositories import Repository

Provider: TypeAlias = Literal["github", "gitlab", "bitbucket"]


def webhook_received(
    provider: Provider,
    *,
    repository: Repository | str | None = None,
    outcome: Outcome = "success",
    client_ip: str | None = None,
    user_agent: str | None = None,
) -> None:
    """Emit that a webhook arrived.

    Args:
        provider: Sender of the webhook.
        repository: The repository, or its name; None: that of the sync in progress.
        outcome: `failure` if it was refused.
        client_ip: Address of the sender, for the audit record.
        user_agent: User agent of the sender, for the audit record.
    """
    sender = {"client_ip": client_ip, "user_agent": user_agent}
    emit(
        "webhook_received",
        envelope(as_repository(repository)),
        outcome=outcome,
        provider=provider,
        trigger="webhook",
        **{key: value for key, value in sender.items() if value is not None},
    )
