"""The bearer tokens of the services in a folder.

The tokens stay with the folder: after a restart the services accept the tokens that running applications
have.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from pathlib import Path

from assay.cli._errors import StackError
from assay.cli._private_files import is_private, write_private
from assay.endpoints import EndpointError, check_token

_BYTES = 24


@dataclass(frozen=True)
class Tokens:
    """The tokens of one folder. Each opens one listener, for one kind of sender.

    Args:
        audit: Applications send it with audit records; they also get their records' receipts with it.
        telemetry: Without a Collector, applications send it to the exporter host with the other signals.
        host: The Collector sends it to the exporter host with traces, metrics and logs.
        host_audit: The Collector sends it to the exporter host with audit records.
    """

    audit: str = field(repr=False)
    telemetry: str = field(repr=False)
    host: str = field(repr=False)
    host_audit: str = field(repr=False)


def load_or_create_tokens(folder: Path) -> Tokens:
    """Return the tokens in `audit.token` and so on; create the files (mode 0600) that are missing.

    Args:
        folder: The folder of the files; it is created when it is missing.

    Raises:
        StackError: A file cannot be read or written, other users may read it, or it does not hold a token.
    """
    return Tokens(*(_load_or_create(folder / f"{each.name}.token") for each in fields(Tokens)))


def _load_or_create(path: Path) -> str:
    remedy = "delete the file for a new token, and restart the applications that use the old one"
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(path, f"{secrets.token_urlsafe(_BYTES)}\n")
        if not is_private(path):
            raise StackError(
                f"{path}: other users may read the token, or own its file: chmod 600 it, or {remedy}"
            )
        return check_token(path.read_text(encoding="utf-8").removesuffix("\n"))
    except OSError as error:
        raise StackError(f"{path}: the token cannot be read or written: {error.strerror}") from error
    except (EndpointError, UnicodeDecodeError) as error:
        raise StackError(f"{path}: {error}: {remedy}") from error
