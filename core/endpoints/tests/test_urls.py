from __future__ import annotations

import pytest

from assay.endpoints import EndpointError, check_confidential, check_http_url, check_no_credentials


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:4318",
        "https://audit.example.com/v1/audit?tenant=a",
        "http://[::1]:4319/v1/audit",
        "https://me:hunter2@host/",
    ],
)
def test_http_urls_are_returned(url):
    assert check_http_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:4318",
        "ftp://127.0.0.1/",
        "http://",
        "http:///v1/audit",
        "http://host:port/",
        "http://host:70000/",
        "http://[::1/",
        "http://host/\n",
        "http://ho st/",
    ],
)
def test_other_texts_are_rejected(url):
    with pytest.raises(EndpointError, match="expected an http or https URL"):
        check_http_url(url)


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://[::1]:1/", "https://audit.example.com/"])
def test_https_and_loopback_are_confidential(url):
    assert check_confidential(url) == url


@pytest.mark.parametrize(
    "url", ["http://audit.example.com/", "http://10.0.0.1:4319/", "http://127.0.0.1.example.com"]
)
def test_plain_http_to_another_host_is_not_confidential(url):
    with pytest.raises(EndpointError, match="use https"):
        check_confidential(url)


@pytest.mark.parametrize(
    "url", ["https://me@host/", "https://me:hunter2@host/", "https://host/?token=hunter2"]
)
def test_credentials_in_a_url_can_be_rejected(url):
    check_http_url(url)
    with pytest.raises(EndpointError) as caught:
        check_no_credentials(url)
    assert "hunter2" not in str(caught.value)


def test_a_url_without_credentials_is_returned():
    assert check_no_credentials("https://host/events") == "https://host/events"


def test_an_error_does_not_contain_the_url():
    with pytest.raises(EndpointError) as caught:
        check_http_url("https://me:hunter2@host:port/")
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "hunter2" not in str(caught.value)
