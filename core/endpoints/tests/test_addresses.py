from __future__ import annotations

import pytest

from assay.endpoints import EndpointError, is_loopback, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4317", "127.0.0.1", 4317),
        ("[::1]:0", "::1", 0),
        ("collector.example.com:65535", "collector.example.com", 65535),
    ],
)
def test_addresses_have_a_host_and_a_port(text, host, port):
    assert parse_address(text) == (host, port)


@pytest.mark.parametrize(
    "text",
    ["", ":1", "host", "host:", "host:x", "host:65536", "::1:4317", "[host]:1", "a b:1", "http://a:1", "a:²"],
)
def test_other_texts_are_not_addresses(text):
    with pytest.raises(EndpointError, match="expected"):
        parse_address(text)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"]
)
def test_only_this_machine_reaches_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com"]
)
def test_other_machines_reach_other_hosts(host):
    assert not is_loopback(host)
