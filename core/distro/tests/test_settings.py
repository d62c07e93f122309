"""A wrong value names the variable, what it was, what it may be, and gives the default."""

from __future__ import annotations

import dataclasses
import os

import pytest

from assay.distro.settings import TABLE, Settings, read, without_credentials

WRONG = {
    "ASSAY_INSTRUMENTS": "maybe",
    "ASSAY_LOGS": "xml",
    "ASSAY_LOGS_STREAM": "printer",
    "ASSAY_REGISTRY": "/nowhere/registry.yaml",
    "ASSAY_SAMPLING": "flowstone.*=2",
    "ASSAY_RATE_LIMIT": "flowstone.*=often",
    "ASSAY_EXIT_TIMEOUT": "-1",
    "ASSAY_AUDIT_ENDPOINT": "localhost:4319",
    "ASSAY_AUDIT_CERTIFICATE": "/nowhere/ca.pem",
    "ASSAY_AUDIT_CLIENT_CERTIFICATE": "/nowhere/client.pem",
    "ASSAY_AUDIT_CLIENT_KEY": "/nowhere/client.key",
    "ASSAY_AUDIT_TIMEOUT": "soon",
    "ASSAY_CORRELATION_ID": "two words",
}
SECRET = {"ASSAY_AUDIT_TOKEN": "s3cr…t"}
TAKES_ANY_TEXT = {"ASSAY_REDACT_KEYS"}


def test_every_setting_has_a_wrong_value_here_or_takes_any_text():
    assert {setting.name for setting in TABLE} == WRONG.keys() | SECRET.keys() | TAKES_ANY_TEXT


@pytest.mark.parametrize(("name", "value"), SECRET.items())
def test_a_wrong_secret_is_named_and_not_shown(name, value):
    settings, (error,) = read({name: value})
    assert settings == read({})[0]
    assert f"{name} is '***'; it may be printable ASCII" in str(error)


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_gives_the_default_and_says_what_is_allowed(name, value):
    settings, (error,) = read({name: value})
    assert settings == read({})[0]
    assert name in str(error)
    assert value in str(error)
    assert next(setting.allowed for setting in TABLE if setting.name == name) in str(error)


def test_the_fields_are_the_table():
    fields = {field.name for field in dataclasses.fields(Settings)}
    assert fields == {setting.name.removeprefix("ASSAY_").lower() for setting in TABLE}


def test_an_empty_variable_is_none():
    assert read({setting.name: " " for setting in TABLE}) == (read({})[0], [])


def test_right_values(tmp_path):
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.touch()
    two.touch()
    settings, wrong = read(
        {
            "ASSAY_REGISTRY": f"{one}{os.pathsep}{two}",
            "ASSAY_SAMPLING": "shop.*=0.5, cart.emptied=1",
            "ASSAY_RATE_LIMIT": "shop.*=100",
            "ASSAY_REDACT_KEYS": "iban, ssn",
            "ASSAY_LOGS": "JSON",
            "ASSAY_INSTRUMENTS": "off",
        }
    )
    assert wrong == []
    assert settings.registry == (str(one), str(two))
    assert settings.sampling == {"shop.*": 0.5, "cart.emptied": 1.0}
    assert settings.rate_limit == {"shop.*": 100.0}
    assert settings.redact_keys == ("iban", "ssn")
    assert settings.logs == "json"
    assert settings.instruments is False


def test_a_password_in_a_wrong_url_is_not_shown():
    _, (error,) = read({"ASSAY_AUDIT_ENDPOINT": "ftp://me:hunter2@example.org/audit"})
    assert "hunter2" not in str(error)
    assert "ftp://example.org/audit" in str(error)


@pytest.mark.parametrize("text", ["http://example.org/a@b", "plain", "https://example.org"])
def test_what_holds_no_credentials_is_left_alone(text):
    assert without_credentials(text) == text


def test_a_path_that_cannot_even_be_looked_at_is_a_wrong_value():
    settings, (error,) = read({"ASSAY_REGISTRY": "x" * 5000})
    assert settings.registry == ()
    assert error.name == "ASSAY_REGISTRY"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hunter2@host:1/a@b", "https://host:1/a@b"),
        ("me:hunter2@host:4319", "host:4319"),
        ("first http://a:b@one/x then https://c:d@two", "first http://one/x then https://two"),
        ("no URL, but name@example.org", "no URL, but name@example.org"),
    ],
)
def test_credentials_are_never_shown(text, shown):
    assert without_credentials(text) == shown
