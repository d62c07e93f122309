"""Ask the witnesses of a policy to cosign a log's checkpoints, as https://c2sp.org/tlog-witness specifies.

Each witness has a thread of its own, so that a slow one delays no other. It is asked for the newest
checkpoint; those that were replaced while it did not answer are skipped. A witness that answers that it has
cosigned another history is evidence of a fork: the answer is stored with the request, logged as an error and
counted, and never overwritten.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import requests

from assay.audit.sessions import ExporterSession
from assay.endpoints import EndpointError, check_confidential, check_no_credentials
from assay.exporters.audit._consistency import witness_request
from assay.exporters.audit._cosigned import Refusal, witness_name
from assay.exporters.audit._entry import timestamp
from assay.exporters.audit._errors import AuditLogError, KeyFormatError
from assay.exporters.audit._keys import read_policy
from assay.exporters.audit._log import Log
from assay.host.escaping import escaped
from assay.proof.cosignature import Cosignature, cosignatures
from assay.proof.policy import Policy, PolicyWitness

logger = logging.getLogger(__name__)

_OK, _CONFLICT, _UNPROCESSABLE = 200, 409, 422
_SIZE_TYPE = "text/x.tlog.size"
_ANSWER_BYTES = 64 << 10
_CHUNK_BYTES = 8 << 10
_EXCERPT = 200  # characters of an answer in a message
_KEPT_ANSWER = 4096  # characters of an answer in a refusal
_ROUNDS = 3  # requests of one attempt
_TIMEOUT = 5.0  # seconds to connect, and for each read
_POLL = 0.25  # seconds
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds between attempts after a failure, doubling
_LAST_ATTEMPT = 10.0  # seconds that the last checkpoint of a stopping sink may take
_DIGITS = 20  # of the largest size
_LARGEST = 2**63 - 1  # of a database's integers

Outcome = Literal["cosigned", "refused", "failed"]
Count = Callable[[str, Outcome], None]


class UnavailableError(Exception):
    """A witness did not cosign, for a reason that does not contradict the log."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    media_type: str
    text: str

    def size(self) -> int | None:
        """Return the size of the last checkpoint that the witness cosigned, if the answer says so."""
        digits = self.text.removesuffix("\n")
        is_size = self.status == _CONFLICT and self.media_type == _SIZE_TYPE
        return (
            int(digits)
            if is_size and digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS
            else None
        )


def load_policy(path: Path) -> Policy:
    """Return the policy in a file, whose witnesses must have URLs.

    Raises:
        KeyFormatError: It is malformed, or a URL is missing or would cross the network in the clear.
        OpenError: The file cannot be read.
    """
    policy = read_policy(path)
    for witness in policy.witnesses:
        try:
            check_confidential(check_no_credentials(witness.url))
        except EndpointError as error:  # noqa: PERF203  few witnesses
            raise KeyFormatError(f"{path}: the URL of witness {witness.name}: {error}") from error
    return policy


class WitnessClient:
    """Asks the witnesses of a policy until it is stopped.

    Args:
        log: The log.
        policy: The policy, whose witnesses have URLs.
        authorities: PEM file of the authorities of the witnesses' certificates. None: those of certifi.
        grace: Seconds after which a missing quorum is a problem.
        count: Called with the name of a witness and the outcome of each attempt: `cosigned`, `refused` or
            `failed`.
    """

    def __init__(
        self, log: Log, policy: Policy, *, authorities: Path | None, grace: float, count: Count
    ) -> None:
        self._log, self._policy, self._grace = log, policy, grace
        self._closed = threading.Event()
        self._mutex = threading.Lock()
        self._witnessed = _restored(log, policy)
        self._pending: tuple[int, float] | None = None  # witnessed size, and since when entries are beyond it
        self._askers = [_Asker(self, log, each, authorities, count) for each in policy.witnesses]
        self._threads = [
            threading.Thread(target=self._run, args=(each,), name="assay-audit-witness", daemon=True)
            for each in self._askers
        ]
        for thread in self._threads:
            thread.start()

    @property
    def witnessed(self) -> int:
        """Number of entries that the newest checkpoint with its quorum covers."""
        return self._witnessed

    def keep(self, size: int, cosignature: Cosignature) -> None:
        """Store a cosignature.

        Raises:
            SignatureError: Another cosignature on the checkpoint is wrong.
            sqlite3.Error: The database cannot be written.
        """
        if self._log.cosign(size, cosignature, self._policy):
            with self._mutex:
                self._witnessed = max(self._witnessed, size)

    def problem(self) -> str:
        """Return what an operator must know, empty if the newest checkpoint has its quorum or may get it."""
        refused = [each.name for each in self._askers if each.refused]
        if refused:
            return f"the witness {', '.join(refused)} contradicts the log: run assay audit refusals"
        waited = self._waited()
        if waited > self._grace:
            failures = "; ".join(f"{each.name}: {each.failure}" for each in self._askers if each.failure)
            return f"checkpoints lack their quorum of cosignatures for {waited:.0f} s ({failures})"
        return ""

    def stop(self) -> None:
        """Ask for the newest checkpoint once more, and stop. It takes 10 s at most."""
        self._closed.set()
        deadline = time.monotonic() + _LAST_ATTEMPT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _waited(self) -> float:
        """Return for how many seconds no checkpoint has got its quorum although entries wait for it."""
        now = time.monotonic()
        with self._mutex:
            witnessed = self._witnessed
            if self._log.covered <= witnessed:
                self._pending = None
            elif self._pending is None or self._pending[0] != witnessed:
                self._pending = witnessed, now
            return 0.0 if self._pending is None else now - self._pending[1]

    def _run(self, asker: _Asker) -> None:
        wait = _POLL
        while not self._closed.wait(wait):
            self._waited()
            wait = _POLL if asker.ask() else max(_FIRST_WAIT, min(2 * wait, _LONGEST_WAIT))
        asker.ask()
        asker.close()


class _Asker:
    """Asks one witness, on one thread.

    Attributes:
        name: Name of the witness.
        refused: Whether it has contradicted the log since this process started.
        failure: Why it did not cosign at the last attempt; empty if it did.
    """

    def __init__(
        self,
        client: WitnessClient,
        log: Log,
        witness: PolicyWitness,
        authorities: Path | None,
        count: Count,
    ) -> None:
        self.name = witness.key.name
        self.refused = False
        self.failure = ""
        self._client, self._log, self._witness, self._count = client, log, witness, count
        self._url = f"{witness.url.rstrip('/')}/add-checkpoint"
        self._cosigned = 0  # size of the newest checkpoint that it cosigned, as far as this process knows
        self._refused_size = -1
        self._session = ExporterSession()
        self._session.trust_env = False  # no proxy of the environment takes part
        self._session.verify = True if authorities is None else str(authorities)

    def ask(self) -> bool:
        """Ask for the newest checkpoint unless it is cosigned; return False if it does not cosign."""
        size = self._log.covered
        if size <= self._cosigned:
            return True
        try:
            outcome: Outcome = "cosigned" if self._request(size) else "refused"
            self.failure = "" if outcome == "cosigned" else "it contradicts the log"
        except (UnavailableError, AuditLogError, sqlite3.Error, OSError) as error:
            outcome = "failed"
            self._report(escaped(str(error)))
        self._count(self.name, outcome)
        return outcome == "cosigned"

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _request(self, size: int) -> bool:
        """Ask for the checkpoint of a size; return False if the answer contradicts the log.

        Raises:
            UnavailableError: The witness did not cosign for another reason.
        """
        old = self._cosigned
        for _ in range(_ROUNDS):
            note, path = self._log.consistency(old, size)
            request = witness_request(old, path, note)
            answer = self._post(request)
            seen = answer.size()
            if seen is None:
                break
            if seen > size:
                self._require_unknown(seen)
                break
            old = seen  # of its last cosigned checkpoint, from which the proof must start
        else:
            raise UnavailableError("the size of its last checkpoint changes with each request")
        if answer.status == _OK:
            self._keep(size, note, answer)
            return True
        if answer.status in {_CONFLICT, _UNPROCESSABLE}:
            self._refuse(size, request, answer)
            return False
        text = " ".join(answer.text[:_EXCERPT].split())
        raise UnavailableError(f"it answered {answer.status}: {text}")

    def _require_unknown(self, seen: int) -> None:
        """Check that no writer of the log has signed a checkpoint of the witness's size.

        Raises:
            UnavailableError: One has: another host of a log in PostgreSQL, which this one follows.
        """
        if seen <= _LARGEST and self._log.has_checkpoint(seen):
            raise UnavailableError(f"it has cosigned the checkpoint of size {seen} for another host")

    def _keep(self, size: int, note: str, answer: _Answer) -> None:
        found = cosignatures(note + answer.text, [self._witness.key])
        if not found:
            raise UnavailableError("its answer has no cosignature of its key in the policy")
        self._client.keep(size, found[0])
        self._cosigned = size

    def _refuse(self, size: int, request: str, answer: _Answer) -> None:
        """Keep a refusal as evidence, once for each checkpoint."""
        self.refused = True
        text = answer.text[:_KEPT_ANSWER]
        logger.error(
            "security event: the witness %s contradicts the log at checkpoint %d, it answered %d: %s. Either"
            " this log was rolled back or forked, or its key signed another log. Run assay audit refusals",
            self.name, size, answer.status, escaped(text[:_EXCERPT]),
        )  # fmt: skip
        if size != self._refused_size:
            name, when = witness_name(self._witness.key), timestamp(time.time_ns())
            self._log.refuse(Refusal(name, size, answer.status, text, request, when))
            self._refused_size = size

    def _post(self, request: str) -> _Answer:
        try:
            with self._session.post(
                self._url, data=request.encode(), timeout=_TIMEOUT, allow_redirects=False, stream=True
            ) as response:
                body = _body(response)
                media_type = response.headers.get("Content-Type", "").partition(";")[0].strip()
        except (requests.RequestException, OSError) as error:
            raise UnavailableError(f"it did not answer: {type(error).__name__}") from error
        return _Answer(response.status_code, media_type, body.decode("utf-8", "replace"))

    def _report(self, failure: str) -> None:
        """Log a failure when it changes, not at each attempt."""
        if failure != self.failure:
            logger.warning("the witness %s did not cosign: %s", self.name, failure)
        self.failure = failure


def _restored(log: Log, policy: Policy) -> int:
    """Return the witnessed size as the database has it. If it was changed, witnesses are asked again."""
    try:
        return log.witnessed(policy)
    except (AuditLogError, sqlite3.Error) as error:
        logger.warning("the stored cosignatures are not known: %s", error)
        return 0


def _body(response: requests.Response) -> bytes:
    """Return the body of an answer.

    Raises:
        UnavailableError: It is longer than an answer of a witness.
    """
    body = bytearray()
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > _ANSWER_BYTES:
            raise UnavailableError(f"its answer is longer than {_ANSWER_BYTES} bytes")
    return bytes(body)
