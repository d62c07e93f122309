"""An invalid configuration is reported with file, line, key and remedy."""

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from assay.host import ConfigError, Host, HostConfig, load_config
from assay.host._settings import TLSSettings

VALID = """\
listeners:
  - {name: direct, protocol: http, address: "127.0.0.1:0"}
exporters:
  lines: {type: otlp-lines, path: lines.jsonl}
"""


@pytest.fixture
def load(tmp_path):
    def read(text):
        (tmp_path / "host.yaml").write_text(text)
        return load_config(tmp_path / "host.yaml")

    return read


def problem(load, text):
    with pytest.raises(ConfigError) as caught:
        Host(load(text))
    return str(caught.value)


def test_a_valid_file_has_its_defaults(load):
    config = load(VALID)
    assert (config.limits.depth, config.listeners[0].peer) == (64, "direct")
    assert config.health.address == "127.0.0.1:13134"


def test_values_come_from_the_environment_and_from_files(load, tmp_path, monkeypatch):
    monkeypatch.setenv("SOME_TOKEN", 'a":[b')
    monkeypatch.delenv("SOME_PORT", raising=False)
    (tmp_path / "token").write_text("from-file\n")
    bearer = f'{{one: "${{env:SOME_TOKEN}}", two: "${{file:{tmp_path}/token}}", three: "$${{x}}"}}'
    config = load(VALID.replace(':0"}', f':${{env:SOME_PORT:-4999}}", auth: {{bearer: {bearer}}}}}'))
    tokens = {name: token.get_secret_value() for name, token in config.listeners[0].auth.bearer.items()}
    assert tokens == {"one": 'a":[b', "two": "from-file", "three": "${x}"}
    assert config.listeners[0].address == "127.0.0.1:4999"
    assert "from-file" not in repr(config)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exporters:", "exportrs:", "host.yaml:3: exportrs: unknown key; did you mean 'exporters'?"),
        ("exporters:", "exportrs:", "exporters: missing"),
        (
            "protocol: http",
            "protcol: http",
            "host.yaml:2: listeners[0].protcol: unknown key; did you mean 'protocol'?",
        ),
        (
            "protocol: http",
            "protocol: ftp",
            "host.yaml:2: listeners[0].protocol: Input should be 'grpc' or 'http'",
        ),
        ("127.0.0.1:0", "4327", "listeners[0].address: expected host:port"),
        ("127.0.0.1:0", "0.0.0.0:0", "other machines can reach 0.0.0.0:0 without authentication"),
        (':0"', ':0", auth: {bearer: ""}', "listeners[0].auth.bearer"),
        (':0"', ':0", auth: {baerer: x}', "listeners[0].auth.baerer: unknown key; did you mean 'bearer'?"),
        (':0"', ':0", tls: {certificate: /no, key: /no}', "cannot use /no, /no as PEM certificate"),
        (':0"', ':${env:NOT_SET_ANYWHERE}"', "address: the environment variable NOT_SET_ANYWHERE is not set"),
        (':0"', ':${file:/no/such}"', "cannot read ${file:/no/such}"),
        (':0"', ':${NAME}"', "${NAME} is not a known reference: write ${env:NAME}"),
        (
            "type: otlp-lines",
            "type: otlp-line",
            "no exporter 'otlp-line' is installed; did you mean 'otlp-lines'?",
        ),
        (
            "type: otlp-lines",
            'type: "no.such:Class"',
            "exporters.lines.type: cannot import 'no.such:Class'",
        ),
        ("type: otlp-lines", 'type: "json:JSONDecoder"', "is not an exporter: it lacks export"),
        ("path: lines", "paht: lines", "exporters.lines.paht: unknown key; did you mean 'path'?"),
        ("path: lines", "path: x, path: lines", "host.yaml:4: exporters.lines.path: duplicate key"),
        (
            "path: lines",
            "queue: {batch: 3}, path: lines",
            "lines.queue.batch: unknown key; did you mean 'batches'?",
        ),
        (
            "path: lines",
            "signals: [traces, audit], path: lines",
            "exporters.lines.signals: 'otlp-lines' does not take audit; it takes logs, metrics, traces",
        ),
        (
            "path: lines",
            "signals: [], path: lines",
            "exporters.lines.signals: Frozenset should have at least 1 item",
        ),
        (
            "exporters:",
            "limits: {depth: 1000}\nexporters:",
            "host.yaml:3: limits.depth: Input should be less",
        ),
        (
            "exporters:",
            "limits: {body_bytes: 999999999}\nexporters:",
            "limits.buffered_bytes must be at least twice",
        ),
        (
            "exporters:",
            "health: {adress: x}\nexporters:",
            "health.adress: unknown key; did you mean 'address'?",
        ),
        ("exporters:", "Token: x\nexporters:", "host.yaml:3: Token: unknown key; known here: exporters"),
        (
            "exporters:",
            '"limits[": x\nexporters:',
            "host.yaml:3: limits[: unknown key; did you mean 'limits'?",
        ),
        ("path: lines", '"path[": lines', "exporters.lines.path[: unknown key; did you mean 'path'?"),
        (
            ':0"',
            ':0", auth: {bearer: {Token: {token: x, c: y}}}',
            "listeners[0].auth.bearer.Token.c: unknown key",
        ),
        ("exporters:", "exporters: [", "not valid YAML"),
        ("type: otlp-lines", "type: !lines x", "host.yaml:4: exporters.lines.type: could not determine"),
        ("path: lines", "path: 2026-99-99, p: lines", "host.yaml:4: exporters.lines.path: month must be"),
        ("type: otlp-lines", 'type: ":Class"', "exporters.lines.type: cannot import ':Class'"),
        (':0"', ':0", auth: {bearer: {a: same, b: same}}', "a and b have the same token"),
        (':0"', ':0", auth: {bearer: "two words"}', "visible ASCII characters, without spaces"),
        (':0"', ':0", auth: {bearer: "gr\u00fcn"}', "visible ASCII characters, without spaces"),
    ],
)
def test_each_mistake_is_reported_with_its_place_and_remedy(load, monkeypatch, old, new, message):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    assert message in problem(load, VALID.replace(old, new))


def test_an_empty_or_missing_file_is_reported(load, tmp_path):
    assert "listeners: missing" in problem(load, "")
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read the file: .*No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize("text", ["[" * 5000, "listeners: &a [*a]"], ids=["deep", "recursive"])
def test_a_file_that_is_nested_too_deeply_is_reported(load, text):
    assert "host.yaml: not valid YAML: maximum recursion depth" in problem(load, text)


def test_two_listeners_with_one_name_are_an_error(load):
    twice = VALID.replace(
        "exporters:", '  - {name: direct, protocol: grpc, address: "127.0.0.1:0"}\nexporters:'
    )
    assert "two listeners are named direct" in problem(load, twice)


def test_no_message_contains_a_token(load):
    text = VALID.replace(':0"', ':0", auth: {bearer: {a: hunter2, b: [hunter2]}}')
    assert "hunter2" not in problem(load, text)


def test_a_key_with_a_password_is_an_error_and_not_a_prompt(tmp_path):
    from .test_tls import make_certificates

    certificate = make_certificates(tmp_path)["server"]["certificate"]
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(ValidationError, match="without a password"):
        TLSSettings(certificate=certificate, key=tmp_path / "locked.key")


def test_client_certificates_are_sufficient_authentication(tmp_path):
    from .test_tls import make_certificates

    files = make_certificates(tmp_path)
    listener = {
        "name": "x",
        "protocol": "grpc",
        "address": "0.0.0.0:0",
        "tls": {**files["server"], "client_ca": files["ca"]},
    }
    HostConfig.model_validate({"listeners": [listener], "exporters": {"a": {"type": "x"}}})


def test_an_error_that_follows_from_another_is_not_reported(tmp_path):
    """Pydantic also reports a list whose only item is invalid as too short."""
    file = tmp_path / "host.yaml"
    file.write_text(
        "listeners: [{name: a, protocol: grpc, adress: '127.0.0.1:0'}]\n"
        "exporters: {lines: {type: otlp-lines, path: x}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert "did you mean 'address'" in str(caught.value)
    assert "at least 1 item" not in str(caught.value)
