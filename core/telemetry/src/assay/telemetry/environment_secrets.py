"""Remove the secrets of environment variables from a message, wherever they stand in it.

A message may quote a URL, a header or a file of which a variable holds the secret part. Redaction by shape
cannot know every secret; the variables' values are known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from assay.telemetry._shapes import REDACTED, is_secret_key
from assay.telemetry.redaction import redact_text

SHORTEST = 6
"""Characters of the shortest value that is removed: a shorter one would be found in words."""


def without_secrets(text: str, environ: Mapping[str, str]) -> str:
    """Return a text without the secrets that variables hold, and without what has the shape of a secret.

    Secrets are the values of variables with the name of a secret, the values of headers in variables such as
    OTEL_EXPORTER_OTLP_HEADERS, and passwords and query values of URLs.

    Args:
        text: The text.
        environ: The variables.
    """
    for secret in sorted(set(_secrets(environ)), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return redact_text(text)


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        yield from (secret for secret in _secrets_of(name, value) if len(secret) >= SHORTEST)


def _secrets_of(name: str, value: str) -> Iterator[str]:
    if is_secret_key(name):
        yield value
        yield value.strip()
    if name.endswith("HEADERS"):
        for member in value.split(","):
            header = member.partition("=")[2].strip()
            yield from (header, unquote(header), unquote(header).rpartition(" ")[2])
    if "://" in value:
        try:
            parts = urlsplit(value.strip())
        except ValueError:
            return
        yield from filter(None, (parts.username, parts.password))
        yield from (found for _, found in parse_qsl(parts.query))
