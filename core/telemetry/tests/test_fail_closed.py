"""Blocks that require their audit records to be accepted."""

from __future__ import annotations

import pytest

from assay.telemetry import AuditNotAcceptedError, audit_required, execute, fail_closed


def test_an_accepted_record_lets_the_block_end(otel):
    with fail_closed():
        assert audit_required()
        execute("f.approved", None, {"asset": "x"})
    assert not audit_required()
    assert len(otel.records) == 1


def test_a_record_that_was_not_accepted_raises_with_its_reason(new_telemetry, catalogue, seen):
    def refuse(*_args, **_kwargs):
        raise ConnectionError("sink down")

    new_telemetry(catalogue, audit=refuse)
    with pytest.raises(AuditNotAcceptedError, match=r"1 of 1 .*sink down") as caught, fail_closed():
        execute("f.approved", None, {"asset": "x"})
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert "telemetry.handler.failure" in seen.names
    execute("f.approved", None, {"asset": "x"})  # outside the block it is reported only


@pytest.mark.parametrize("event", ["f.note", "nobody.knows"])
def test_a_block_without_an_audited_event_raises(otel, event):
    with pytest.raises(AuditNotAcceptedError, match="marked for audit in the registry"), fail_closed():
        execute(event)


def test_without_an_audit_trail_it_raises(new_telemetry, catalogue):
    new_telemetry(catalogue, audit=None)
    with pytest.raises(AuditNotAcceptedError, match="configure an audit trail"), fail_closed():
        execute("f.approved", None, {"asset": "x"})


def test_an_exception_of_the_block_goes_first(otel):
    with pytest.raises(LookupError), fail_closed():
        raise LookupError


def test_blocks_nest(new_telemetry, catalogue):
    answers = [ConnectionError("down"), None]

    def answer(*_args, **_kwargs):
        if (error := answers.pop(0)) is not None:
            raise error

    new_telemetry(catalogue, audit=answer)
    with fail_closed():
        with pytest.raises(AuditNotAcceptedError), fail_closed():
            execute("f.approved", None, {"asset": "x"})
        execute("f.approved", None, {"asset": "x"})
