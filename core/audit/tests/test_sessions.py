"""Exports are separate from the HTTP traffic of the application."""

from __future__ import annotations

import logging
import os

import pytest
import requests
import responses
import vcr

from assay.audit.sessions import ExporterSession

OK = (200, {}, b"real")


def test_responses_does_not_answer_an_export(server):
    answers = server(OK)
    with responses.RequestsMock(assert_all_requests_are_fired=True) as mock:
        mock.post(answers.url, body="mocked")
        assert requests.post(answers.url, timeout=10).text == "mocked"
        assert ExporterSession().post(answers.url, data=b"x", timeout=10).text == "real"
    assert [body for _, body in answers.got] == [b"x"]


def test_vcrpy_neither_records_nor_answers_an_export(server, tmp_path):
    answers = server(OK)
    cassette = tmp_path / "cassette.yaml"
    session = ExporterSession()
    for _ in range(2):  # the first records, the second plays
        with vcr.use_cassette(str(cassette), record_mode="once") as played:
            assert requests.post(answers.url, data=b"theirs", timeout=10).text == "real"
            assert session.post(answers.url, data=b"ours", timeout=10).text == "real"
            assert ExporterSession().post(answers.url, data=b"ours", timeout=10).text == "real"
        assert [request.body for request in played.requests] == [b"theirs"]
    assert [body for _, body in answers.got] == [b"theirs", b"ours", b"ours", b"ours", b"ours"]


def test_exports_are_not_logged_and_other_requests_are(server, caplog):
    answers = server(OK)
    # kubernetes_asyncio gives "urllib3" another level, for the whole process.
    with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
        ExporterSession().post(answers.url, data=b"x", timeout=10)
        assert [record for record in caplog.records if record.name.startswith("urllib3")] == []
        requests.post(answers.url, data=b"x", timeout=10)
    assert any(record.name == "urllib3.connectionpool" for record in caplog.records)


def test_urllib3_keeps_its_log_level(server):
    ExporterSession().post(server(OK).url, data=b"x", timeout=10)
    assert logging.getLogger("urllib3.connectionpool").level == logging.NOTSET


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_opens_its_own_connection(server):
    answers = server(OK)
    session = ExporterSession()
    session.post(answers.url, data=b"parent", timeout=10)
    pool = session.get_adapter(answers.url).poolmanager
    child = os.fork()
    if child == 0:
        sent = session.post(answers.url, data=b"child", timeout=10).text == "real"
        os._exit(0 if sent and session.get_adapter(answers.url).poolmanager is not pool else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert session.post(answers.url, data=b"parent", timeout=10).text == "real"
    assert [body for _, body in answers.got] == [b"parent", b"child", b"parent"]
