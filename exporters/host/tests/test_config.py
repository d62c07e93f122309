"""A configuration that does not hold is refused with its file, line, key, and what to write instead."""

import pytest
from cryptography.hazmat.primitives import serialization
from pydantic import ValidationError

from assay.host import ConfigError, Host, HostConfig, load_config
from assay.host.settings import TLSSettings

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
    ("old", "new", "says"),
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
        ("127.0.0.1:0", "0.0.0.0:0", "can be reached from other machines"),
        (':0"', ':0", auth: {bearer: ""}', "listeners[0].auth.bearer"),
        (':0"', ':0", auth: {baerer: x}', "listeners[0].auth.baerer: unknown key; did you mean 'bearer'?"),
        (':0"', ':0", tls: {certificate: /no, key: /no}', "cannot use /no, /no as PEM certificate"),
        (':0"', ':${env:NOT_SET_ANYWHERE}"', "address: the environment variable NOT_SET_ANYWHERE is not set"),
        (':0"', ':${file:/no/such}"', "${file:/no/such} cannot be read"),
        (':0"', ':${NAME}"', "${NAME} is not understood: write ${env:NAME}"),
        (
            "type: otlp-lines",
            "type: otlp-line",
            "no exporter 'otlp-line' is installed; did you mean 'otlp-lines'?",
        ),
        (
            "type: otlp-lines",
            'type: "no.such:Class"',
            "exporters.lines.type: 'no.such:Class' cannot be imported",
        ),
        ("type: otlp-lines", 'type: "json:JSONDecoder"', "is no exporter, it lacks export"),
        ("path: lines", "paht: lines", "exporters.lines.paht: unknown key; did you mean 'path'?"),
        ("path: lines", "path: x, path: lines", "host.yaml:4: exporters.lines.path: the key is there twice"),
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
        ("exporters:", "exporters: [", "not valid YAML"),
        ("type: otlp-lines", "type: !lines x", "host.yaml:4: exporters.lines.type: could not determine"),
        ("path: lines", "path: 2026-99-99, p: lines", "host.yaml:4: exporters.lines.path: month must be"),
        ("type: otlp-lines", 'type: ":Class"', "exporters.lines.type: ':Class' cannot be imported"),
        (':0"', ':0", auth: {bearer: {a: same, b: same}}', "a and b have the same token"),
        (':0"', ':0", auth: {bearer: "two words"}', "printable ASCII without spaces"),
        (':0"', ':0", auth: {bearer: "gr\u00fcn"}', "printable ASCII without spaces"),
    ],
)
def test_what_is_wrong_is_named_with_the_nearest_right_key(load, monkeypatch, old, new, says):
    monkeypatch.delenv("NOT_SET_ANYWHERE", raising=False)
    assert says in problem(load, VALID.replace(old, new))


def test_an_empty_or_absent_file_is_named(load, tmp_path):
    assert "listeners: missing" in problem(load, "")
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read: .*No such file"):
        load_config(tmp_path / "none.yaml")


def test_two_listeners_of_one_name_are_a_mistake(load):
    twice = VALID.replace(
        "exporters:", '  - {name: direct, protocol: grpc, address: "127.0.0.1:0"}\nexporters:'
    )
    assert "two listeners are named direct" in problem(load, twice)


def test_a_token_is_never_in_the_message(load):
    text = VALID.replace(':0"', ':0", auth: {bearer: {a: hunter2, b: [hunter2]}}')
    assert "hunter2" not in problem(load, text)


def test_a_key_with_a_password_is_told_and_not_asked_for(tmp_path):
    from .test_tls import make_certificates

    certificate = make_certificates(tmp_path)["server"]["certificate"]
    key = serialization.load_pem_private_key((tmp_path / "server.key").read_bytes(), None)
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    locked = key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(b"secret"))
    (tmp_path / "locked.key").write_bytes(locked)
    with pytest.raises(ValidationError, match="without a password"):
        TLSSettings(certificate=certificate, key=tmp_path / "locked.key")


def test_mtls_is_authentication_enough(tmp_path):
    from .test_tls import make_certificates

    files = make_certificates(tmp_path)
    listener = {
        "name": "x",
        "protocol": "grpc",
        "address": "0.0.0.0:0",
        "tls": {**files["server"], "client_ca": files["ca"]},
    }
    HostConfig.model_validate({"listeners": [listener], "exporters": {"a": {"type": "x"}}})


def test_only_causes_are_told(tmp_path):
    """A list whose one item is wrong is not also too short."""
    file = tmp_path / "host.yaml"
    file.write_text(
        "listeners: [{name: a, protocol: grpc, adress: '127.0.0.1:0'}]\n"
        "exporters: {lines: {type: otlp-lines, path: x}}\n",
        encoding="utf-8",
    )
    with pytest.raises(ConfigError) as told:
        load_config(file)
    assert "did you mean 'address'" in str(told.value)
    assert "at least 1 item" not in str(told.value)
