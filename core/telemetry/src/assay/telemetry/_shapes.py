"""The rules that recognise secrets: names of keys, and shapes of values.

Every expression runs in time linear in the text: no repetition is nested in another, and each is bounded or
ends at a character that it cannot contain.
"""

from __future__ import annotations

import re
from itertools import pairwise
from re import Pattern

REDACTED = "[REDACTED]"

SECRET_WORDS = frozenset({
    "password", "passwd", "pwd", "passphrase", "passcode", "secret", "secrets", "authorization", "cookie",
    "cookies", "credential", "credentials", "apikey", "privatekey", "accesskey", "secretkey", "jwt", "otp",
})  # fmt: skip
"""A key with one of these words holds a secret: `db_password`, `X-Client-Secret`, `setCookie`."""

SECRET_LAST_WORDS = frozenset({"token", "auth", "bearer", "dsn", "pin", "signature"})
"""A key that ends in one of these words holds a secret: `access_token`, but not `token_count`."""

SECRET_PAIRS = frozenset({
    ("api", "key"), ("private", "key"), ("access", "key"), ("secret", "key"), ("signing", "key"),
    ("encryption", "key"), ("account", "key"), ("shared", "key"), ("ssh", "key"), ("master", "key"),
    ("auth", "key"), ("session", "key"), ("connection", "string"),
})  # fmt: skip
"""A key with these two words side by side holds a secret: `aws_access_key_id`."""

_NAMED = (
    r"pass(?:word|wd|phrase)|pwd|secret(?:[_-]?access)?(?:[_-]?key)?"
    r"|(?:api|access|private|account|shared[_-]?access|signing|encryption|session)[_-]?key(?:[_-]?id)?"
)
_VALUE = r"""("[^"\n]{1,4096}"|'[^'\n]{1,4096}'|[^\s,;&"']{1,4096})"""
_ASSIGNED = r"""(\\?["']?\s{0,3}(?:=>?|:)\s{0,3}\\?)"""

SHAPES: dict[str, tuple[Pattern[str], str]] = {
    "pem": (
        re.compile(r"-----BEGIN [A-Z0-9 ]{1,64}-----.*?(?:-----END [A-Z0-9 ]{1,64}-----|\Z)", re.DOTALL),
        REDACTED,
    ),
    "jwt": (re.compile(r"eyJ[\w-]{6,}\.[\w-]{6,}(?:\.[\w-]*){0,3}"), REDACTED),
    "aws_access_key": (re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Z0-9])"), REDACTED),
    "github_token": (re.compile(r"(?:gh[pousr]_|github_pat_)\w{20,}"), REDACTED),
    "gitlab_token": (re.compile(r"glpat-[\w-]{16,}"), REDACTED),
    "slack_token": (
        re.compile(r"xox[a-z]-[\w-]{8,}|xapp-[\w-]{8,}|hooks\.slack\.com/services/[\w/-]{8,}"),
        REDACTED,
    ),
    "google_token": (re.compile(r"AIza[\w-]{30,}|ya29\.[\w-]{16,}|GOCSPX-[\w-]{16,}"), REDACTED),
    "service_token": (
        re.compile(
            r"(?<![A-Za-z0-9])(?:[sr]k_(?:live|test)_\w{12,}|sk-[\w-]{20,}|npm_\w{30,}|pypi-[\w-]{30,})"
        ),
        REDACTED,
    ),
    "url_password": (re.compile(r"(://[^\s/?#@:\"']*):[^\s/?#\"']+@"), rf"\1:{REDACTED}@"),
    "url_token": (re.compile(r"://[^\s/?#@:\"']{20,}@"), f"://{REDACTED}@"),
    "authorization": (
        re.compile(
            r"""(?i)(authorization)(["']?\s{0,3}[=:]\s{0,3}["']?)(?:[a-z]{1,16}\s{1,3})?[^\s"',;]{1,8192}"""
        ),
        rf"\1\2{REDACTED}",
    ),
    "bearer": (
        re.compile(r"(?i)\b(bearer|basic)(\s{1,3})(?=[a-z]{0,64}[0-9._~+/=-])[\w.~+/=-]{8,}"),
        rf"\1\2{REDACTED}",
    ),
    "cookie": (
        re.compile(r"""(?i)((?:set-)?cookie)(["']?\s{0,3}[=:]\s{0,3}["']?)[^\r\n"']{1,8192}"""),
        rf"\1\2{REDACTED}",
    ),
    "named": (re.compile(rf"(?i)({_NAMED}){_ASSIGNED}{_VALUE}"), rf"\1\2{REDACTED}"),
    "named_token": (
        re.compile(
            rf"""(?i)(token|sig|signature){_ASSIGNED}("[^"\n]{{6,4096}}"|'[^'\n]{{6,4096}}'|[^\s,;&"']{{6,4096}})"""
        ),
        rf"\1\2{REDACTED}",
    ),
}
"""By rule: the expression that matches a secret, and its replacement."""


def _either_case(*words: str) -> str:
    # The first letter is spelt out in both cases, so that the engine can skip to one of these letters.
    return "|".join(f"{w[0].upper()}(?i:{w[1:]})|{w[0].lower()}(?i:{w[1:]})" for w in words)


# Every shape contains one of these; a text without any of them needs no further search.
_TOKENS = (
    "eyJ|AKIA|ASIA|ABIA|ACCA|AIza|ghp_|gho_|ghu_|ghs_|ghr_|github_|glpat|xox|xapp-|hooks\\.slack|ya29|GOCSPX"
)
_OTHERS = "|sk_|rk_|sk-|npm_|pypi-|-----BEGIN|:"
SUSPECT = re.compile(f"{_TOKENS}{_OTHERS}|=|{_either_case('bearer', 'basic')}")
_KEY_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def is_secret_key(key: str) -> bool:
    """Return whether the name of a key marks its value as a secret."""
    words = [word.lower() for word in _KEY_WORDS.findall(key)]
    return (
        not SECRET_WORDS.isdisjoint(words)
        or (bool(words) and words[-1] in SECRET_LAST_WORDS)
        or any(pair in SECRET_PAIRS for pair in pairwise(words))
    )
