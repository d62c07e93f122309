"""Requests of WSGI applications: actor, client address and user agent of their records."""

from __future__ import annotations

import httpx
import pytest

from assay.audit import AuditRecord, current_actor, current_client, get_logger
from assay.audit.wsgi import AuditMiddleware, remote_user

REFUND = AuditRecord(event_name="order.refund", action="REFUND", outcome="success")


def emit():
    get_logger("tests").emit_async(REFUND).accepted.result(10)


def in_the_call(environ, start_response):
    emit()
    start_response("200 OK", [])
    return [b"refunded"]


def in_the_body(environ, start_response):
    start_response("200 OK", [])
    emit()
    yield b"refunded"


class Closing:
    """A body that emits its record when the server closes it."""

    def __init__(self, environ, start_response):
        start_response("200 OK", [])

    def __iter__(self):
        assert current_actor().id == "alice"
        yield b"refunded"

    def close(self):
        emit()


def get(app, address="192.0.2.7", **headers):
    with httpx.Client(transport=httpx.WSGITransport(app, remote_addr=address), base_url="http://app") as http:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        assert http.get("/", headers=named).text == "refunded"
    assert current_client() == ("", "")
    assert current_actor().id == "system"


@pytest.mark.parametrize("app", [in_the_call, in_the_body, Closing])
def test_record_has_the_actor_the_address_and_the_user_agent(app, app_log):
    get(AuditMiddleware(app, lambda environ: environ["HTTP_X_NAME"]), x_name="alice", user_agent="till/1.0")
    expected = {
        "audit.actor.id": "alice",
        "audit.source.id": "192.0.2.7",
        "user_agent.original": "till/1.0",
    }
    record = app_log.record()
    assert {key: record.get(key) for key in expected} == expected


@pytest.mark.parametrize(("environ", "name"), [({"REMOTE_USER": "alice"}, "alice"), ({}, "anonymous")])
def test_user_of_the_server(environ, name, app_log):
    def server(given, start_response):
        return AuditMiddleware(in_the_call, remote_user)({**given, **environ}, start_response)

    get(server)
    assert app_log.record()["audit.actor.id"] == name


def test_only_trusted_proxies_state_the_client(app_log):
    app = AuditMiddleware(in_the_call, remote_user, trusted_proxies=["10.0.0.0/8"])
    get(app, x_forwarded_for="203.0.113.9")
    get(app, "10.0.0.1", x_forwarded_for="203.0.113.9")
    assert [record["audit.source.id"] for record in app_log.records()] == ["192.0.2.7", "203.0.113.9"]


def test_exception_of_the_application_is_unchanged():
    def failing(environ, start_response):
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        get(AuditMiddleware(failing, remote_user))
    assert current_actor().id == "system"
