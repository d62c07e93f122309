"""Exporter hosts in processes of their own share a log in PostgreSQL; witnesses cosign its checkpoints."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
import requests

from assay.exporters.audit import Policy, QuorumError, SignatureError, refusals, verify
from assay.proof.note import open_checkpoint

from .conftest import ORIGIN, another_place, settings_of
from .test_process import Sender, running
from .witnesses import serve_one, wait_until, write_policy

pytestmark = [pytest.mark.slow, pytest.mark.stores("postgresql")]


def configure(log, policy):
    """Write the configuration of a host with one HTTP listener; return its file."""
    audit = {"type": "audit", "origin": ORIGIN, "checkpoint_records": 1, "witness_policy": str(policy)}
    config = {
        "listeners": [{"name": "direct", "protocol": "http", "address": "127.0.0.1:0"}],
        "health": None,
        "exporters": {"audit": {**audit, **settings_of(log)}},
    }
    file = log.with_name("host.yaml")
    file.write_text(json.dumps(config))
    return file


def test_a_host_takes_over_from_a_killed_one_with_cosigned_checkpoints(open_sink, database, tmp_path, key):
    open_sink().shutdown()  # it creates the key
    policy = write_policy(tmp_path)
    parsed = Policy.parse(policy.read_text())
    logs = [another_place(database, tmp_path / name) for name in ("one", "two")]
    configs = [configure(log, policy) for log in logs]
    sender = Sender()

    def published(url, size):
        """Return the cosigned checkpoint of a size when the host publishes it, else None."""
        note = requests.get(f"{url}/log/checkpoint", timeout=30).text
        try:
            parsed.verify(note)
        except (QuorumError, SignatureError):
            return None
        return note if open_checkpoint(note, key()).size == size else None

    with ExitStack() as stack:
        for number in (0, 1):  # of three
            stack.enter_context(serve_one(number, policy, database.with_name("verifier.key")))
        one, (first,) = stack.enter_context(running(configs[0]))  # it signs
        _, (second,) = stack.enter_context(running(configs[1]))
        for url in (first, second):
            assert sender.send(url)
        for url in (first, second):
            wait_until(lambda url=url: published(url, 40))
        before = published(second, 40)
        one.kill()
        one.wait()
        assert sender.send(second)
        wait_until(lambda: published(second, 60))
        for note in (before, published(second, 60)):
            assert verify(database, key(), checkpoint=note, policy=parsed).records == 60
        _, (first,) = stack.enter_context(running(configs[0]))  # it follows now
        assert sender.send(first)
        for url in (first, second):
            wait_until(lambda url=url: published(url, 80))
        after = published(first, 80)
    found = verify(database, key(), checkpoint=after, policy=parsed)
    assert (found.records, found.covered, found.witnessed) == (80, 80, 80)
    assert len(sender.acknowledged) == len(set(sender.acknowledged)) == 80
    assert not refusals(database)
