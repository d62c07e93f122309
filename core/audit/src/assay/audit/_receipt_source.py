"""Asks the sink for receipts of records that came to it through a Collector.

receipts = OTLPAuditReceipts("https://audit.example.com/v1/audit/receipts", token="…", certificate="ca.pem")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from assay.audit._delivery import Receipts
from assay.audit._endpoint import Endpoint
from assay.audit.errors import ExportError

TIMEOUT = 10.0


class OTLPAuditReceipts:
    """Posts record ids to `/v1/audit/receipts`. Safe to use from several threads, and after a fork.

    Args:
        endpoint: The whole URL. Plain http is accepted for loopback only.
        token: Bearer token; empty: none is sent.
        certificate: PEM file of the authority of the server's certificate; empty: those of certifi.
        client_certificate: PEM file of the client's certificate, for mTLS.
        client_key: PEM file of its key, without a password; empty: it is in the same file.
        timeout: Seconds to wait for a response at most.

    Raises:
        ConfigurationError: A setting is invalid.
    """

    def __init__(  # noqa: PLR0913  one argument for each setting
        self,
        endpoint: str,
        *,
        token: str = "",
        certificate: str = "",
        client_certificate: str = "",
        client_key: str = "",
        timeout: float = TIMEOUT,
    ) -> None:
        self._endpoint = Endpoint(
            endpoint,
            token=token,
            certificate=certificate,
            client_certificate=client_certificate,
            client_key=client_key,
        )
        self._timeout = timeout

    def receipts(self, record_ids: Sequence[str]) -> Receipts:
        """Return what the log has of these records.

        Raises:
            ExportError: The sink did not respond, or not with receipts.
        """
        body = orjson.dumps({"record_ids": list(record_ids)})
        response = self._endpoint.post(body, "application/json", self._timeout)
        try:
            answer: dict[str, Any] = orjson.loads(response.content)
            stored: list[Mapping[str, Any]] = answer["receipts"]
            quarantined: list[Mapping[str, Any]] = answer["quarantined"]
            return Receipts(
                {str(one["record_id"]): one for one in stored},
                {str(one["record_id"]): str(one["reason"]) for one in quarantined},
            )
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(
                f"{self._endpoint.shown} did not answer with receipts: check the endpoint", is_final=True
            ) from error
