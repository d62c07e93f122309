"""Webhooks of git hosts, sent over HTTP to real WSGI and ASGI servers."""

import asyncio
import hashlib
import hmac
import json
import threading
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
import uvicorn
from opentelemetry.instrumentation.alumiini import AlumiiniInstrumentor, asgi, wsgi
from opentelemetry.instrumentation.alumiini.webhook_requests import BODY_LIMIT

from assay.instrumentation.testing import InMemoryTelemetry, free_port, wait_until
from assay.telemetry import bridge

SECRETS = {"github": "gh-secret", "gitlab": "gl-secret", "bitbucket": "bb-secret"}
PUSH = {
    "github": {
        "ref": "refs/heads/main",
        "after": "abc123",
        "repository": {"name": "shop", "clone_url": "https://git.example/org/shop.git"},
    },
    "gitlab": {
        "ref": "refs/heads/main",
        "after": "abc123",
        "project": {"name": "shop", "git_http_url": "https://git.example/org/shop.git"},
        "repository": {"name": "shop", "url": "git@git.example:org/shop.git"},
    },
    "bitbucket": {
        "repository": {"name": "shop", "links": {"html": {"href": "https://git.example/org/shop.git"}}},
        "push": {"changes": [{"new": {"name": "main", "target": {"hash": "abc123"}}}]},
    },
}


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def wsgi_server():
    seen = []

    def application(environ, start_response):
        seen.append(environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
        start_response("204 No Content", [])
        return []

    server = make_server(
        "127.0.0.1", 0, wsgi.WebhookMiddleware(application, SECRETS, paths=["/hooks"]), handler_class=Quiet
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def asgi_server():
    seen = []

    async def application(scope, receive, send):
        message = await receive()
        seen.append(message["body"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    port = free_port()
    middleware = asgi.WebhookMiddleware(application, SECRETS, paths=["/hooks"])
    options = {"host": "127.0.0.1", "port": port, "log_level": "warning", "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(middleware, **options))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield port, seen
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(params=[wsgi_server, asgi_server])
def served(request, telemetry):
    """Return port of a server with the middleware, and the bodies that its application got."""
    with request.param() as found:
        yield found


def sign(provider, body, secret):
    """Return the headers with which a git host sends a body."""
    digest = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {
        "github": {"X-GitHub-Event": "push", "X-Hub-Signature-256": digest},
        "gitlab": {"X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": secret},
        "bitbucket": {"X-Event-Key": "repo:push", "X-Hub-Signature": digest},
    }[provider]


def post(port, body, headers, path="/hooks"):
    """Return the status of the answer to a request."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", data=body, headers={"User-Agent": "Hookshot", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.parametrize("provider", SECRETS)
def test_a_webhook_with_a_right_signature_reaches_the_application(served, telemetry, provider):
    port, seen = served
    body = json.dumps(PUSH[provider]).encode()

    assert post(port, body, sign(provider, body, SECRETS[provider])) == 204
    assert seen == [body]
    (record,) = telemetry.logs("alumiini.webhook_received")
    found = record.log_record.attributes
    assert found["alumiini.webhook.provider"] == provider
    assert found["alumiini.repo.name"] == "shop"
    assert found["alumiini.repo.url"] == "https://git.example/org/shop.git"
    assert (found["alumiini.repo.branch"], found["alumiini.repo.commit"]) == ("main", "abc123")
    assert (found["alumiini.sync.trigger"], found["alumiini.outcome"]) == ("webhook", "success")


@pytest.mark.parametrize("provider", SECRETS)
@pytest.mark.parametrize("wrong", ["secret", "missing"])
def test_a_webhook_with_a_wrong_signature_is_refused_and_counted(served, telemetry, provider, wrong):
    port, seen = served
    body = json.dumps(PUSH[provider]).encode()
    headers = sign(provider, body, "another")
    if wrong == "missing":
        headers = dict([next(iter(headers.items()))])

    assert post(port, body, headers) == 401
    assert seen == []
    (record,) = telemetry.logs("alumiini.webhook_received")
    assert record.log_record.attributes["alumiini.outcome"] == "failure"
    (point,) = telemetry.points("alumiini.errors")
    assert dict(point.attributes) == {"repo_name": "unknown", "error_type": "webhook_signature"}


def test_a_changed_body_is_refused(served):
    port, seen = served
    body = json.dumps(PUSH["github"]).encode()

    assert post(port, body + b" ", sign("github", body, SECRETS["github"])) == 401
    assert seen == []


def test_requests_to_other_paths_pass(served, telemetry):
    port, seen = served

    assert post(port, b"plain", {}, path="/hooksmith") == 204
    assert seen == [b"plain"]
    assert telemetry.logs() == []


@pytest.mark.parametrize("path", ["/hooks", "/hooks/", "/hooks/github?a=1"])
def test_a_request_without_the_headers_of_a_git_host_is_refused(served, telemetry, path):
    port, seen = served

    assert post(port, b"plain", {}, path=path) == 401
    assert seen == []
    assert telemetry.totals("alumiini.errors", "error_type") == {"webhook_signature": 1}


def test_a_body_that_is_no_json_has_no_repository(served, telemetry):
    port, _ = served

    assert post(port, b"\xff[", sign("github", b"\xff[", SECRETS["github"])) == 204
    (record,) = telemetry.logs("alumiini.webhook_received")
    assert record.log_record.attributes["alumiini.repo.name"] == "unknown"


def test_a_body_that_is_too_large_is_refused():
    async def main():
        sent = []

        async def receive():
            return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": "/hooks", "headers": [(b"X-GitHub-Event", b"push")]}
        await asgi.WebhookMiddleware(None, SECRETS, paths=["/hooks"])(scope, receive, send)
        return sent

    assert asyncio.run(main())[0]["status"] == 413
    environ = {"PATH_INFO": "/hooks", "HTTP_X_GITHUB_EVENT": "push", "CONTENT_LENGTH": str(BODY_LIMIT + 1)}
    answers = []
    wsgi.WebhookMiddleware(None, SECRETS, paths=["/hooks"])(
        environ, lambda status, headers: answers.append(status)
    )
    assert answers == ["413 Content Too Large"]


@pytest.mark.parametrize("secret", ["gh-secret", "another"])
def test_the_audit_record_has_address_and_user_agent(secret):
    records = []

    def audit(event_name, attributes, body, *, time_unix_nano):
        records.append((event_name, attributes))

    body = json.dumps(PUSH["github"]).encode()
    with InMemoryTelemetry() as sdk, audited_by(audit), wsgi_server() as (port, _):
        AlumiiniInstrumentor().instrument(**sdk.providers)
        try:
            post(port, body, sign("github", body, secret))
        finally:
            AlumiiniInstrumentor().uninstrument()

    ((name, attributes),) = records
    assert name == "alumiini.webhook_received"
    assert attributes["audit.action"] == "RECEIVE"
    assert attributes["audit.outcome"] == ("success" if secret == "gh-secret" else "failure")
    assert (attributes["audit.source.id"], attributes["audit.source.type"]) == ("127.0.0.1", "ipv4")
    assert attributes["user_agent.original"] == "Hookshot"


@contextmanager
def audited_by(audit):
    before = bridge.defaults()
    bridge.set_defaults(replace(before, audit=audit))
    try:
        yield
    finally:
        bridge.set_defaults(before)
