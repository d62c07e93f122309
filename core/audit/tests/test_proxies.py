"""The address of a client: only what trusted proxies state is believed."""

from __future__ import annotations

import pytest

from assay.audit import ConfigurationError
from assay.audit._proxies import Proxies

TRUSTED = ["10.0.0.0/8", "2001:db8:1::/48", "unix"]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", "", "192.0.2.7"),
        ("192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "203.0.113.9, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8:2::1]:4711", "2001:db8:2::1"),
        ("2001:db8:1::5", "2001:db8:2::1", "2001:db8:2::1"),
        ("::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("::ffff:192.0.2.7", "198.51.100.1", "192.0.2.7"),
        ("10.0.0.1", "198.51.100.1, unknown", "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", ",,", "10.0.0.1"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("", "", ""),
        ("testclient", "198.51.100.1", "testclient"),
    ],
)
def test_client_of_x_forwarded_for(peer, forwarded, address):
    assert Proxies(TRUSTED, "X-Forwarded-For").client_address(peer, forwarded) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ('For="[2001:db8:2::17]:4711";proto=https', "2001:db8:2::17"),
        ("proto=https;for=198.51.100.1;by=10.0.0.1", "198.51.100.1"),
        ("for=203.0.113.9, for=198.51.100.1;host=a, for=10.0.0.2", "198.51.100.1"),
        ('for=198.51.100.1;host="a;for=203.0.113.9"', "198.51.100.1"),
        (r'for=198.51.100.1;host="a\", for=203.0.113.9"', "198.51.100.1"),
        ("for=198.51.100.1, for=_hidden", "10.0.0.1"),
        ("for=198.51.100.1, proto=https", "10.0.0.1"),
        ('for=203.0.113.9;x=", for=198.51.100.1;host="a"', "10.0.0.1"),
        ("for=203.0.113.9 for=198.51.100.1", "10.0.0.1"),
    ],
)
def test_client_of_forwarded(forwarded, address):
    assert Proxies(TRUSTED, "forwarded").client_address("10.0.0.1", forwarded) == address


def test_long_malformed_header_takes_linear_time():
    proxies = Proxies(TRUSTED, "forwarded")
    for header in ("for=" + "\\" * 65_000, 'for="' + "\\" * 65_001, " " * 65_000, "for=1;" * 10_000 + "="):
        assert proxies.client_address("10.0.0.1", header) == "10.0.0.1"


@pytest.mark.parametrize(
    ("trusted", "header", "named"),
    [
        (["10.0.0.5/8"], "forwarded", "10.0.0.5/8"),
        (["proxy.example"], "forwarded", "proxy.example"),
        ("10.0.0.0/8", "forwarded", "list"),
        ([], "x-real-ip", "x-real-ip"),
    ],
)
def test_invalid_settings_are_refused(trusted, header, named):
    with pytest.raises(ConfigurationError, match=named):
        Proxies(trusted, header)
