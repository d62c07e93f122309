"""The settings of the application's side.

Each field of `Settings` states one setting: its type, and a `Setting` with its default, its allowed values,
its line in docs/reference/settings.md and its parser. `TABLE`, `read` and the check of that page derive from
it.

A wrong value never stops the application: `read` returns the default instead, and an error that names the
variable, its value and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_type_hints

from assay.distro._errors import SettingError
from assay.distro._setting_values import (
    Rates,
    absolute_path,
    choice,
    correlation_id,
    file,
    files,
    names,
    optional_http_url,
    optional_shapes,
    rates,
    seconds,
    switch,
    token,
)
from assay.endpoints import check_http_url


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable.

    Args:
        default: The default, in the form of the variable; empty: not set.
        allowed: The allowed values, for people.
        help: One line for the reference.
        parse: Returns the value of a text, or raises `ValueError`.
        secret: Whether messages must not show the value.
    """

    default: str
    allowed: str
    help: str
    parse: Callable[[str], Any]
    secret: bool = False


_FILE = "a file that exists"
_SECONDS = "seconds, more than 0"


@dataclass(frozen=True, slots=True)
class Settings:
    """The values of the settings. The field `logs_stream` has the variable `ASSAY_LOGS_STREAM`."""

    instruments: Annotated[
        bool,
        Setting("on", "on or off", "Record metrics. Off in a worker whose parent records for it.", switch),
    ]
    logs: Annotated[
        str,
        Setting(
            "text",
            "text or json",
            "Form of the lines that the app logs to standard output and error.",
            choice("text", "json"),
        ),
    ]
    logs_stream: Annotated[
        str,
        Setting(
            "stderr",
            "stderr or stdout",
            "Where the lines of events go (ASSAY_LOGS=json).",
            choice("stderr", "stdout"),
        ),
    ]
    registry: Annotated[
        tuple[str, ...],
        Setting(
            "",
            "registry files that exist, joined by the path separator",
            "Your own semantic-convention files, loaded beside Assay's.",
            files,
        ),
    ]
    sampling: Annotated[
        Rates,
        Setting(
            "",
            "pattern=rate,… with rates above 0, up to 1, such as shop.*=0.1",
            "Share of events kept; counters stay unbiased, errors and audit events always pass.",
            rates(1.0),
        ),
    ]
    rate_limit: Annotated[
        Rates,
        Setting(
            "",
            "pattern=per_second,… with numbers above 0, such as shop.*=100",
            "Events a second; errors and audit events always pass.",
            rates(1e12),
        ),
    ]
    redact_keys: Annotated[
        tuple[str, ...],
        Setting("", "keys, joined by commas", "Further keys whose values never leave the process.", names),
    ]
    redact_shapes: Annotated[
        tuple[str, ...],
        Setting(
            "",
            "email, iban or us_ssn, joined by commas",
            "Shapes of values that are redacted in addition.",
            optional_shapes,
        ),
    ]
    exit_timeout: Annotated[
        float, Setting("3", _SECONDS, "How long the end of the program waits for exports.", seconds)
    ]
    audit_endpoint: Annotated[
        str,
        Setting(
            "http://127.0.0.1:4319/v1/audit",
            "an http or https URL",
            "Where audit records go.",
            check_http_url,
        ),
    ]
    audit_token: Annotated[
        str,
        Setting(
            "",
            "visible ASCII characters, no spaces",
            "Bearer token for the audit endpoint.",
            token,
            secret=True,
        ),
    ]
    audit_certificate: Annotated[
        str,
        Setting("", _FILE, "CA certificate that the audit endpoint's certificate is checked against.", file),
    ]
    audit_client_certificate: Annotated[
        str, Setting("", _FILE, "Client certificate for the audit endpoint.", file)
    ]
    audit_client_key: Annotated[str, Setting("", _FILE, "Key of the client certificate.", file)]
    audit_timeout: Annotated[float, Setting("10", _SECONDS, "Longest wait for the audit endpoint.", seconds)]
    audit_queue: Annotated[
        str,
        Setting(
            "disk",
            "disk or memory",
            "Where audit records wait; in memory, the end of the process loses those that wait.",
            choice("disk", "memory"),
        ),
    ]
    audit_queue_directory: Annotated[
        str,
        Setting(
            "",
            "an absolute path",
            "Folder of the queues on disk. Default: assay/audit-queue in the user's state directory.",
            absolute_path,
        ),
    ]
    audit_receipts_endpoint: Annotated[
        str,
        Setting(
            "",
            "an http or https URL",
            "The sink's /v1/audit/receipts, which confirms records that a Collector took.",
            optional_http_url,
        ),
    ]
    audit_receipts_token: Annotated[
        str,
        Setting(
            "",
            "visible ASCII characters, no spaces",
            "Bearer token for receipts. Default: that of the audit endpoint.",
            token,
            secret=True,
        ),
    ]
    correlation_id: Annotated[
        str,
        Setting(
            "",
            "1 to 128 printable ASCII characters, no spaces",
            "Correlation id that this process continues; set for child processes. The bus reads it itself.",
            correlation_id,
        ),
    ]


def variable(field: str) -> str:
    """Return the environment variable of a field of `Settings`."""
    return f"ASSAY_{field.upper()}"


_BY_FIELD: Mapping[str, Setting] = {
    field: hint.__metadata__[0] for field, hint in get_type_hints(Settings, include_extras=True).items()
}
TABLE: Mapping[str, Setting] = {variable(field): setting for field, setting in _BY_FIELD.items()}
"""The settings by their variables, in the order of the reference."""


def read(environ: Mapping[str, str] | None = None) -> tuple[Settings, list[SettingError]]:
    """Return the settings, and an error for each that has its default because its value is wrong.

    Args:
        environ: The variables; those of the process if left out. An empty variable counts as not set.
    """
    given = os.environ if environ is None else environ
    values: dict[str, Any] = {}
    errors: list[SettingError] = []
    for field, setting in _BY_FIELD.items():
        name = variable(field)
        text = given.get(name, "").strip()
        try:
            values[field] = setting.parse(text or setting.default)
        except ValueError:
            values[field] = setting.parse(setting.default)
            shown = "***" if setting.secret else text
            errors.append(SettingError(name, shown, setting.allowed, setting.default or "nothing"))
    return Settings(**values), errors
