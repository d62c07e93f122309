"""A wrong value gives the default, and an error that names the variable, the value and what is allowed."""

from __future__ import annotations

import os

import pytest

from assay.distro._settings import TABLE, read

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
    "ASSAY_AUDIT_QUEUE": "tape",
    "ASSAY_AUDIT_QUEUE_DIRECTORY": "here",
    "ASSAY_AUDIT_RECEIPTS_ENDPOINT": "localhost:4328",
    "ASSAY_CORRELATION_ID": "two words",
    "ASSAY_REDACT_SHAPES": "emails",
}
SECRET = {"ASSAY_AUDIT_TOKEN": "s3 cret", "ASSAY_AUDIT_RECEIPTS_TOKEN": "s3 cret"}
TAKES_ANY_TEXT = {"ASSAY_REDACT_KEYS"}


def test_every_setting_has_a_wrong_value_here_or_takes_any_text():
    assert TABLE.keys() == WRONG.keys() | SECRET.keys() | TAKES_ANY_TEXT


@pytest.mark.parametrize(("name", "value"), SECRET.items())
def test_a_wrong_secret_is_reported_and_not_shown(name, value):
    settings, (error,) = read({name: value})
    assert settings == read({})[0]
    assert value not in str(error)
    assert f"{name} is '***'; allowed: visible ASCII characters" in str(error)


@pytest.mark.parametrize(("name", "value"), WRONG.items())
def test_a_wrong_value_gives_the_default_and_names_what_is_allowed(name, value):
    settings, (error,) = read({name: value})
    assert settings == read({})[0]
    assert name in str(error)
    assert value in str(error)
    assert TABLE[name].allowed in str(error)


def test_an_empty_variable_counts_as_not_set():
    assert read(dict.fromkeys(TABLE, " ")) == (read({})[0], [])


def test_valid_values(tmp_path):
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


def test_a_path_that_the_system_rejects_is_a_wrong_value():
    settings, (error,) = read({"ASSAY_REGISTRY": "x" * 5000})
    assert settings.registry == ()
    assert error.name == "ASSAY_REGISTRY"
