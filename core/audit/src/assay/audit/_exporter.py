"""Exports records over OTLP/HTTP. When `export` returns, all of them are accepted.

exporter = OTLPAuditExporter("https://collector:4319/v1/audit", token="…", certificate="ca.pem")
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from typing import Any

import orjson
import requests
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from assay.audit._endpoint import Endpoint
from assay.audit.errors import ConfigurationError, ExportError, RejectedError

DEFAULT_ENDPOINT = "http://127.0.0.1:4319/v1/audit"
TIMEOUT = 30.0
RETRIES = 5
_PROTOBUF = "application/x-protobuf"


class OTLPAuditExporter:
    """Posts protobuf to `/v1/audit`. Safe to use from several threads, and after a fork.

    Args:
        endpoint: The whole URL. Plain http is accepted for loopback only.
        token: Bearer token; empty: none is sent.
        certificate: PEM file of the authority of the server's certificate; empty: those of certifi.
        client_certificate: PEM file of the client's certificate, for mTLS.
        client_key: PEM file of its key, without a password; empty: it is in the same file.
        timeout: Seconds after which nothing is retried or waited for.
        retries: How often a retryable failure is retried: after 1 s, then twice as long each time.
        allow_plain_http: Send records in the clear over a network: only where something else encrypts it, and
            never with a token.

    Raises:
        ConfigurationError: A setting is invalid.
    """

    def __init__(  # noqa: PLR0913  one argument for each setting
        self,
        endpoint: str = DEFAULT_ENDPOINT,
        *,
        token: str = "",
        certificate: str = "",
        client_certificate: str = "",
        client_key: str = "",
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
        allow_plain_http: bool = False,
    ) -> None:
        self._endpoint = Endpoint(
            endpoint,
            token=token,
            certificate=certificate,
            client_certificate=client_certificate,
            client_key=client_key,
            allow_plain_http=allow_plain_http,
        )
        if timeout <= 0:
            raise ConfigurationError(f"timeout is {timeout} s; it must be more than 0")
        if retries < 0:
            raise ConfigurationError(f"retries is {retries}; it must be 0 or more")
        self.endpoint = endpoint
        self._timeout = timeout
        self._retries = retries
        self._closed = threading.Event()

    def export(self, request: ExportLogsServiceRequest) -> list[Mapping[str, Any]]:
        """Hand over a batch. Either all of it is accepted, or an error is raised.

        Returns:
            The sink's receipts if the sink itself answered, else an empty list.

        Raises:
            ConflictError: The log holds a different record under one of the ids.
            RejectedError: The batch was rejected for what a record contains, as a whole or in part.
            ExportError: The batch was not accepted: another response, or none in time.
        """
        body = request.SerializeToString()
        deadline = time.monotonic() + self._timeout
        delay = 1.0
        for attempt in range(self._retries + 1):
            try:
                return self._attempt(body, max(deadline - time.monotonic(), 0.001))
            except ExportError as error:
                wait = error.retry_after
                wait = delay * random.uniform(0.5, 1.0) if wait is None else wait  # noqa: S311  jitter
                is_last = error.is_final or attempt == self._retries or time.monotonic() + wait >= deadline
                if is_last or self._closed.wait(wait):
                    raise
            delay *= 2
        raise AssertionError("unreachable")  # pragma: no cover

    def shutdown(self) -> None:
        """End waiting for a retry, and close this thread's connections."""
        self._closed.set()
        self._endpoint.close()

    def _attempt(self, body: bytes, timeout: float) -> list[Mapping[str, Any]]:
        return self._receipts(self._endpoint.post(body, _PROTOBUF, timeout))

    def _receipts(self, response: requests.Response) -> list[Mapping[str, Any]]:
        shown, status = self._endpoint.shown, response.status_code
        receipts: list[Mapping[str, Any]] = []
        try:
            if "json" in response.headers.get("Content-Type", ""):
                answer: dict[str, Any] = orjson.loads(response.content or b"{}")
                partial: dict[str, Any] = answer.get("partialSuccess") or {}
                rejected = int(partial.get("rejectedLogRecords") or 0)
                message = partial.get("errorMessage", "")
                given: list[Mapping[str, Any]] = answer.get("receipts") or []
                receipts = [dict(receipt) for receipt in given]
            else:
                success = ExportLogsServiceResponse.FromString(response.content).partial_success
                rejected, message = success.rejected_log_records, success.error_message
        except (ValueError, TypeError, AttributeError, DecodeError) as error:
            raise ExportError(
                f"{shown} answered {status}, but not in OTLP: check the endpoint", status, is_final=True
            ) from error
        if rejected:
            raise RejectedError(
                f"{shown} rejected {rejected} of the records ({message}): treat none as accepted",
                status,
                is_final=True,
            )
        return receipts
