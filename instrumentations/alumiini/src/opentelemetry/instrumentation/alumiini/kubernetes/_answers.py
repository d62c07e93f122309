"""The failure that an answer of the API server stands for.

Messages of the API server quote the manifest, and an `ApiException` contains the whole answer. So only its
status and its reason, a word of a fixed list (Kubernetes, `metav1.StatusReason`), are reported.
"""

from __future__ import annotations

import json
from typing import cast

from assay.instrumentation import Foreign
from assay.telemetry.spans import qualified_name

_TYPES = {
    400: "validation",
    401: "auth",
    403: "auth",
    404: "not_found",
    409: "conflict",
    413: "validation",
    415: "validation",
    422: "validation",
    429: "throttled",
    504: "timeout",
}
_SERVER_ERRORS = 500
_FAILURES = 400


def is_failed(answer: Foreign) -> bool:
    """Return whether an answer has the status of a failure; some clients return it instead of raising."""
    status = getattr(answer, "status", None)
    return isinstance(status, int) and status >= _FAILURES


def type_of(failed: Foreign) -> str:
    """Return the type of a failure: `conflict`, `validation`, `auth`, or another.

    Args:
        failed: An exception of a client, or an answer that failed.
    """
    status = getattr(failed, "status", None)
    if isinstance(status, int) and status >= _FAILURES:
        return _TYPES.get(status, "server_error" if status >= _SERVER_ERRORS else f"http_{status}")
    if isinstance(failed, BaseException):
        return _connection_type(failed)
    return "_OTHER"


def message_of(failed: Foreign) -> str:
    """Return status and reason of a failure, without what the API server says about the manifest."""
    status = getattr(failed, "status", None)
    if not status:
        return qualified_name(type(failed))
    reason = _status_reason(getattr(failed, "body", None)) or getattr(failed, "reason", None)
    return f"{status} {reason}" if reason else str(status)


def _status_reason(body: object) -> str | None:
    """Return `reason` of a Status object."""
    if not isinstance(body, (str, bytes)):
        return None
    try:
        answer = json.loads(body)
    except ValueError:
        return None
    reason = cast("dict[str, object]", answer).get("reason") if isinstance(answer, dict) else None
    return reason if isinstance(reason, str) and reason.isalpha() else None


def _connection_type(error: BaseException) -> str:
    names = {kind.__name__ for kind in type(error).__mro__}
    cause = getattr(error, "reason", None)
    if isinstance(cause, BaseException):  # urllib3's MaxRetryError
        names |= {kind.__name__ for kind in type(cause).__mro__}
    if "NewConnectionError" in names:  # in urllib3 it is a ConnectTimeoutError too
        return "unreachable"
    if any("Timeout" in name for name in names):
        return "timeout"
    is_unreachable = names & {"ConnectionError", "ClientConnectionError", "MaxRetryError"}
    return "unreachable" if is_unreachable else qualified_name(type(error))
