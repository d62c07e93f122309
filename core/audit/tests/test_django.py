"""Requests of a Django project: actor, client address and user agent of their records."""

from __future__ import annotations

import asyncio

import django
import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import auth
from django.core.management import call_command
from django.db import connections
from django.http import HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from assay.audit import Actor, RecordError, audited, current_actor, current_client


@audited("order.refund", action="REFUND", fail_closed=True)
def refund(request):
    return HttpResponse("refunded")


@audited("order.refund", action="REFUND", fail_closed=True)
async def refund_async(request):
    return HttpResponse("refunded")


@audited("user.login", action="LOGIN", fail_closed=True)
def login(request):
    auth.login(request, auth.authenticate(username="alice", password="secret"))
    return HttpResponse("refunded")


@audited("user.login", action="LOGIN", fail_closed=True)
async def login_async(request):
    await auth.alogin(request, await auth.aauthenticate(username="alice", password="secret"))
    return HttpResponse("refunded")


def fail(request):
    raise LookupError("gone")


def idle(request):
    return HttpResponse("idle")


async def idle_async(request):
    return HttpResponse("idle")


class Urls:
    urlpatterns = (
        path("idle-sync", idle),
        path("idle-async", idle_async),
        path("sync", refund),
        path("async", refund_async),
        path("login-sync", login),
        path("login-async", login_async),
        path("fail", fail),
    )


def service(request):
    return Actor(request.headers["X-Service"], "service")


AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    AUTHENTICATION,
    "assay.audit.django.audit_middleware",
]


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory):
    """A project with users in SQLite. A process can configure Django only once."""
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(tmp_path_factory.mktemp("django") / "users.db"),
            }
        },
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        LOGGING_CONFIG=None,
        MIDDLEWARE=MIDDLEWARE,
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        ROOT_URLCONF=Urls,
        SECRET_KEY="only for tests",
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    )
    django.setup()
    call_command("migrate", verbosity=0)
    apps.get_model("auth", "User").objects.create_user("alice", password="secret")
    yield
    connections.close_all()


def get_by_wsgi(path, *, user=None, **headers):
    client = Client()
    if user:
        client.force_login(apps.get_model("auth", "User").objects.get(username=user))
    return client.get(path, headers=headers)


def get_by_asgi(path, *, user=None, **headers):
    async def get():
        client = AsyncClient()
        if user:
            users = apps.get_model("auth", "User").objects
            await client.aforce_login(await users.aget(username=user))
        return await client.get(path, headers=headers)

    return asyncio.run(get())


BOTH = pytest.mark.parametrize("get", [get_by_wsgi, get_by_asgi])


@BOTH
@pytest.mark.parametrize("view", ["sync", "async"])
def test_record_has_the_user_the_address_and_the_user_agent(get, view, app_log):
    assert get(f"/{view}", user="alice", user_agent="till/1.0").content == b"refunded"
    expected = {
        "audit.actor.id": "alice",
        "audit.actor.type": "user",
        "audit.source.id": "127.0.0.1",
        "audit.source.type": "ipv4",
        "user_agent.original": "till/1.0",
    }
    record = app_log.record()
    assert {key: record.get(key) for key in expected} == expected
    assert current_client() == ("", "")
    assert current_actor().id == "system"


@BOTH
@pytest.mark.parametrize("view", ["sync", "async"])
def test_request_without_a_user_is_anonymous(get, view, app_log):
    get(f"/{view}")
    record = app_log.record()
    assert (record["audit.actor.id"], record["audit.actor.type"]) == ("anonymous", "user")


@BOTH
@pytest.mark.parametrize("view", ["sync", "async"])
def test_user_who_logs_in_is_the_actor_of_the_login(get, view, app_log):
    get(f"/login-{view}")
    assert app_log.record()["audit.actor.id"] == "alice"


@BOTH
def test_only_trusted_proxies_state_the_client(get, app_log):
    get("/sync", x_forwarded_for="203.0.113.9")
    with override_settings(AUDIT_TRUSTED_PROXIES=["127.0.0.1"]):
        get("/sync", x_forwarded_for="198.51.100.1, 203.0.113.9", forwarded="for=198.51.100.1")
    with override_settings(AUDIT_TRUSTED_PROXIES=["127.0.0.1"], AUDIT_PROXY_HEADER="forwarded"):
        get("/sync", x_forwarded_for="203.0.113.9", forwarded="for=198.51.100.1")
    sources = [record["audit.source.id"] for record in app_log.records()]
    assert sources == ["127.0.0.1", "203.0.113.9", "198.51.100.1"]


@BOTH
def test_function_of_the_project_determines_the_actor(get, app_log):
    with override_settings(AUDIT_ACTOR=service):
        get("/async", x_service="ci")
    record = app_log.record()
    assert (record["audit.actor.id"], record["audit.actor.type"]) == ("ci", "service")


@BOTH
def test_function_may_be_a_dotted_path(get, app_log):
    with override_settings(AUDIT_ACTOR="assay.audit.django.request_user"):
        get("/sync", user="alice")
    assert app_log.record()["audit.actor.id"] == "alice"


@BOTH
def test_project_without_authentication_is_an_error(get, app_log):
    without = [name for name in MIDDLEWARE if name != AUTHENTICATION]
    with override_settings(MIDDLEWARE=without), pytest.raises(RecordError, match="actor"):
        get("/async")
    assert app_log.records() == []


@BOTH
def test_exception_of_a_view_is_unchanged(get):
    with pytest.raises(LookupError, match="gone"):
        get("/fail")
    assert current_actor().id == "system"


@BOTH
@pytest.mark.parametrize("view", ["sync", "async"])
def test_function_that_raises_fails_only_requests_with_records(get, view, app_log):
    with override_settings(AUDIT_ACTOR=service):
        assert get(f"/idle-{view}").content == b"idle"
        with pytest.raises(RecordError, match="x-service"):
            get(f"/{view}")
    assert app_log.records() == []


def test_request_without_records_does_not_load_its_user(app_log):
    calls = []
    with override_settings(AUDIT_ACTOR=calls.append):
        get_by_wsgi("/idle-sync")
        get_by_asgi("/idle-sync")
    assert calls == []
