"""Every setting of the app's side: one table, and its reading.

A wrong value never stops the app: `read` gives the default in its place, and an error that names the
variable, what it was and what it may be.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from assay.distro.errors import SettingError

Rates = dict[str, float]

_CREDENTIALS = re.compile(r"(^|://)[^\s/]*@")


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable.

    Args:
        name: Of the variable.
        default: As it would be written; empty: not set.
        allowed: What it may be, for people.
        help: One line for the reference.
        parse: From its text to its value; raises ValueError.
        secret: Its value is never shown.
    """

    name: str
    default: str
    allowed: str
    help: str
    parse: Callable[[str], Any]
    secret: bool = False


def _choice(*values: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text.lower() not in values:
            raise ValueError(text)
        return text.lower()

    return parse


def _switch(text: str) -> bool:
    return _choice("on", "off")(text) == "on"


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(text)
    _ = parts.port  # raises ValueError for a port that is none
    return text


def _file(text: str) -> str:
    # Not Path.is_file: it raises for a folder that may not be read, and for a name that is too long.
    if text and not os.path.isfile(text):  # noqa: PTH113
        raise ValueError(text)
    return text


def _files(text: str) -> tuple[str, ...]:
    return tuple(_file(part) for part in text.split(os.pathsep) if part)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _rates(most: float) -> Callable[[str], Rates]:
    def parse(text: str) -> Rates:
        rates: Rates = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            pattern, separator, number = part.rpartition("=")
            rate = float(number)
            if not separator or not pattern.strip() or not 0 < rate <= most:
                raise ValueError(part)
            rates[pattern.strip()] = rate
        return rates

    return parse


def _printable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError(text)
    return text


def _correlation_id(text: str) -> str:
    if text and not re.fullmatch(r"[\x21-\x7e]{1,128}", text):
        raise ValueError(text)
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (part.strip() for part in text.split(","))))


TABLE = (
    Setting(
        "ASSAY_INSTRUMENTS",
        "on",
        "on or off",
        "Record metrics. A worker whose parent counts for it has off.",
        _switch,
    ),
    Setting(
        "ASSAY_LOGS",
        "text",
        "text or json",
        "Form of the lines that the app logs to standard output and error.",
        _choice("text", "json"),
    ),
    Setting(
        "ASSAY_LOGS_STREAM",
        "stderr",
        "stderr or stdout",
        "Where the lines of events go (ASSAY_LOGS=json).",
        _choice("stderr", "stdout"),
    ),
    Setting(
        "ASSAY_REGISTRY",
        "",
        "registry files that exist, joined by the path separator",
        "Your own semantic-convention files, loaded beside Assay's.",
        _files,
    ),
    Setting(
        "ASSAY_SAMPLING",
        "",
        "pattern=rate,… with rates above 0, up to 1, such as shop.*=0.1",
        "Share of events kept; counters stay unbiased, errors and audit events always pass.",
        _rates(1.0),
    ),
    Setting(
        "ASSAY_RATE_LIMIT",
        "",
        "pattern=per_second,… with numbers above 0, such as shop.*=100",
        "Events a second; errors and audit events always pass.",
        _rates(1e12),
    ),
    Setting(
        "ASSAY_REDACT_KEYS",
        "",
        "keys, joined by commas",
        "Further keys whose values never leave the process.",
        _names,
    ),
    Setting(
        "ASSAY_EXIT_TIMEOUT",
        "3",
        "seconds, more than 0",
        "How long the end of the program waits for exports.",
        _seconds,
    ),
    Setting(
        "ASSAY_AUDIT_ENDPOINT",
        "http://127.0.0.1:4319/v1/audit",
        "an http or https URL",
        "Where audit records go.",
        _url,
    ),
    Setting(
        "ASSAY_AUDIT_TOKEN",
        "",
        "printable ASCII",
        "Bearer token for the audit endpoint.",
        _printable,
        secret=True,
    ),
    Setting(
        "ASSAY_AUDIT_CERTIFICATE",
        "",
        "a file that exists",
        "CA certificate that the audit endpoint is held to.",
        _file,
    ),
    Setting(
        "ASSAY_AUDIT_CLIENT_CERTIFICATE",
        "",
        "a file that exists",
        "Client certificate for the audit endpoint.",
        _file,
    ),
    Setting("ASSAY_AUDIT_CLIENT_KEY", "", "a file that exists", "Key of the client certificate.", _file),
    Setting(
        "ASSAY_AUDIT_TIMEOUT", "10", "seconds, more than 0", "Longest wait for the audit endpoint.", _seconds
    ),
    Setting(
        "ASSAY_CORRELATION_ID",
        "",
        "1 to 128 printable ASCII characters, no blanks",
        "Correlation id that this process goes on with; set for child processes. The bus reads it itself.",
        _correlation_id,
    ),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the table's variables are; each field is named as its variable, without `ASSAY_`."""

    instruments: bool
    logs: str
    logs_stream: str
    registry: tuple[str, ...]
    sampling: Rates
    rate_limit: Rates
    redact_keys: tuple[str, ...]
    exit_timeout: float
    audit_endpoint: str
    audit_token: str
    audit_certificate: str
    audit_client_certificate: str
    audit_client_key: str
    audit_timeout: float
    correlation_id: str


def read(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[SettingError]]:
    """Return the settings, and what is wrong with those that have their default for it.

    Args:
        environ: The variables; the process's own if left out. An empty variable is as good as none.
    """
    given = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    errors: list[SettingError] = []
    for setting in TABLE:
        text = given.get(setting.name, "").strip()
        field = setting.name.removeprefix("ASSAY_").lower()
        try:
            values[field] = setting.parse(text or setting.default)
        except ValueError:
            values[field] = setting.parse(setting.default)
            shown = "***" if setting.secret else without_credentials(text)
            errors.append(SettingError(setting.name, shown, setting.allowed, setting.default or "nothing"))
    return Settings(**values), errors


def without_credentials(text: str) -> str:
    """Return a text without the user and password of the URLs in it, one without its scheme included."""
    return _CREDENTIALS.sub(r"\1", text)
