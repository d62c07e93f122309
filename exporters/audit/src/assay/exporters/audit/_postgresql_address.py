"""The address of a log in a PostgreSQL database: a URI without a password."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from assay.exporters.audit._errors import OpenError

_SCHEMES = ("postgresql://", "postgres://")
_SECRETS = {"password", "sslpassword"}


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The address of a log in a PostgreSQL database; its text has no parameters and no password.

    Args:
        uri: A connection URI of libpq, such as `postgresql://sink@db.example.com/audit`, without a password.
        password_file: File that contains the password. None: libpq takes it from `PGPASSFILE` or `~/.pgpass`.

    Raises:
        OpenError: The URI is not one of PostgreSQL, or contains a password.
    """

    uri: str
    password_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.is_address(self.uri) or "#" in self.uri:
            raise OpenError(
                "the address of a PostgreSQL database has the form postgresql://user@host/database"
            )
        try:
            parts = urlsplit(self.uri)
        except ValueError:
            raise OpenError("the address of the PostgreSQL database is malformed") from None
        names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True)}
        if parts.password is not None or names & _SECRETS:
            raise OpenError(
                "the address of the PostgreSQL database contains a password: put it into the file that"
                " password_file or PGPASSFILE names"
            )

    @staticmethod
    def is_address(text: str) -> bool:
        """Return whether a text is the address of a PostgreSQL database, and not the path of a file."""
        return text.startswith(_SCHEMES)

    def __str__(self) -> str:
        parts = urlsplit(self.uri)
        return f"postgresql://{parts.netloc}{parts.path}"


Location = Path | PostgreSQL
"""Where a log is: an SQLite file, or a PostgreSQL database."""
